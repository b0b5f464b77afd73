// Writes src/lab/scenario.schema.json, the JSON Schema of scenario files for editors, anew from what `pinfall` checks them with
// (src/lab/scenario/schema.ts, as built); with --check says, by its exit code, whether it is as that has it.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { SCENARIO } from '../dist/src/lab/scenario/schema.js';

const target = join(dirname(dirname(fileURLToPath(import.meta.url))), 'src/lab/scenario.schema.json');
const schema = { title: 'A scenario of pinfall', ...z.toJSONSchema(SCENARIO, { io: 'input' }) };
const text = `${JSON.stringify(schema, null, 1)}\n`;
if (!process.argv.includes('--check')) writeFileSync(target, text);
else if (readFileSync(target, 'utf8') !== text) {
  console.error('src/lab/scenario.schema.json is stale: npm run schema:update');
  process.exitCode = 1;
}
