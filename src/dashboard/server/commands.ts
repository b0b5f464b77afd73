/** What a page may ask for: the shape of each command, and the answer to one that has another shape. */
import { z } from 'zod';
import { describeIssue } from '../../lab/scenario/issue.js';
import type { Command } from '../protocol.js';

const name = z.string().min(1).max(100);
const word = z.int().min(-0x80000000).max(0xffffffff);
const workers = z.int().min(1).max(64);

const COMMAND = z.discriminatedUnion(
  'type',
  [
    z.strictObject({ type: z.enum(['start', 'pause', 'resume', 'stop', 'audit']) }),
    z.strictObject({ type: z.literal('step'), actor: name, steps: z.int().min(1).max(1000).optional() }),
    z.strictObject({ type: z.literal('knob'), name, value: word }),
    z.strictObject({
      type: z.literal('workers'),
      count: workers,
      scheme: z.enum(['balanced', 'apart', 'el2-apart']).optional(),
    }),
    z.strictObject({ type: z.literal('move'), actor: name, worker: z.int().min(0).max(63) }),
    z.strictObject({
      type: z.literal('restart'),
      scenario: name.optional(),
      policy: name.optional(),
      seed: z.int().min(0).max(0xffffffff).optional(),
      workers: workers.optional(),
    }),
  ],
  {
    error: (issue) =>
      issue.code === 'invalid_union'
        ? 'expected one of start, pause, resume, stop, audit, step, knob, workers, move, restart'
        : undefined,
  },
);

/** The body as a command, or what is wrong with it in a line. */
export function parseCommand(body: unknown): { readonly command: Command } | { readonly problem: string } {
  const parsed = COMMAND.safeParse(body);
  if (parsed.success) return { command: parsed.data };
  const issue = parsed.error.issues[0];
  return { problem: issue === undefined ? 'not a command' : describeIssue(issue, body) };
}
