/** One run of a case: what it is called, whether all is as the file says, its outcomes. */
export interface CaseRun {
  readonly label: string;
  readonly ok: boolean;
  readonly outcomes: readonly string[];
}

export const FOLDER: string;
export function caseFiles(paths: readonly string[]): string[];
export function isLong(path: string): boolean;
export function runCase(path: string, sample?: boolean): Promise<CaseRun[]>;
