/** Where events go as they come. */
import type { EventBatch } from '../batch.js';

export interface EventFile {
  readonly path: string;
  /** Events written so far. */
  readonly events: number;
  /** Appends a batch, in merged order. */
  write(batch: EventBatch): void;
  /** Ends the file. Throws the first failure, if there was one. */
  close(): void;
}
