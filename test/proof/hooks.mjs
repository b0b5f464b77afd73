// Module hooks: kernel modules with one mutant (MUTANT), or telling of the sites that they come to.
import { fileURLToPath } from 'node:url';
import { ROOMS, mutated, telling } from './sites.mjs';

let mutant = '';
let dist = '';

export function initialize(data) {
  ({ mutant, dist } = data);
}

export async function load(url, context, next) {
  const loaded = await next(url, context);
  if (!url.startsWith(dist)) return loaded;
  const file = fileURLToPath(url).slice(fileURLToPath(dist).length);
  if (!ROOMS.some((room) => file.startsWith(`${room}/`))) return loaded;
  const text = String(loaded.source);
  const source = mutant === '' ? telling(file, text) : mutated(file, text, mutant);
  return { ...loaded, source };
}
