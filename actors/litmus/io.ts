/** Litmus operations of input and output. */
import type { LitmusOperation } from './row.js';

export const LITMUS_IO: readonly LitmusOperation[] = [
  {
    name: 'dio_read',
    params: ['page', 'value'],
    by: 'task',
    result: 'errno',
    summary: 'read(2) with O_DIRECT: a device writes the value to the page, which is pinned meanwhile',
    run: (ctx, _task, args) => ctx.kernel.directIoRead(ctx, args[0] as number, args[1] as number, args[2] as number),
  },
];
