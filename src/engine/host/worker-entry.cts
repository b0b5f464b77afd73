/**
 * What the pool of worker threads requires: the way into worker.ts. Piscina tries `require` first, which links a whole graph of modules in
 * one go; Node aborts the process when a thread is ended meanwhile. `import()` can be interrupted.
 */
import type { HostRefusal, HostResult, HostTask } from '../threads/control.js';

module.exports = async function host(task: HostTask): Promise<HostResult | HostRefusal> {
  const { default: run } = await import('./worker.js');
  return run(task);
};
