/**
 * Derives the blocking form of the kernel from its coroutine form, after `tsc`: dist/blocking/ holds the same modules with
 * every coroutine a plain function, and kernel.js, all of them in one file with the oracles and the event writer that they call
 * (calls across modules cost V8 a fifth). Its words are those of machine/words/words-wasm.ts.
 *
 *     if (--ctx.quantum < 0) yield acquires(ptl);          if (--ctx.quantum < 0) ctx.waiter.yielded(ctx, acquires(ptl));
 *     if (--ctx.quantum < 0) yield reads(word);      ->
 *     const r = yield* zap(ctx, ...);                      const r = zap(ctx, ...);
 *
 * Points before reads, writes, updates and releases go: there the actor would only have let others of its worker run. At
 * acquisitions it still looks around once a quantum, and a wait is a wait.
 *
 * dist/noisy/kernel.js is the same file with every point kept, each with a number of its own: what runs with a noise maker load
 * (engine/host/noise.ts), which delays actors there. Without one nobody pays for the points.
 *
 * A worker that hosts one actor runs this form: waiting happens in place, on the worker's doorbell, and neither a
 * generator nor its resumption stands between the steps. Kernel code is still written once: what both forms do is the same
 * statement by statement. Coroutines that idle (an actor's loop: IDLE_SLEEP, IDLE_TOP, idleWhile) stay coroutines, with all
 * that call them, since a host has to get back to its event loop there.
 */
import { parse } from 'acorn';
import { ancestor, full } from 'acorn-walk';
import MagicString from 'magic-string';
import { rolldown } from 'rolldown';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = join(dirname(dirname(fileURLToPath(import.meta.url))), 'dist');
const target = join(dist, 'blocking');
const noisy = join(dist, 'noisy');
const ROOTS = [
  'src/machine', 'src/events', 'src/locks', 'src/hyp', 'src/mm', 'src/kvm', 'src/policies', 'src/zoo', 'src/oracle',
  'actors', 'src/engine/machine/kernel.js', 'src/engine/machine/probes.js',
];

/** What kernel.js has: a worker's kernel, actors, probe and event writer. */
const ENTRY = `
export { resolveKernel } from './src/engine/machine/kernel.js';
export { ACTOR_KINDS } from './actors/index.js';
export { createProbe } from './src/engine/machine/probes.js';
export { RingWriter } from './src/events/ring.js';
export { bindWords } from '#words';
`;

/** Effects whose points the blocking form drops. */
const DROPPED = new Set(['reads', 'writes', 'updates', 'adds', 'releases', 'releasesRead']);

const files = ROOTS.flatMap((root) => listed(root)).filter((file) => file.endsWith('.js'));
const newest = Math.max(...files.map((file) => statSync(join(dist, file)).mtimeMs), statSync(fileURLToPath(import.meta.url)).mtimeMs);
const stamp = join(noisy, '.stamp');
if (existsSync(stamp) && statSync(stamp).mtimeMs > newest) process.exit(0);

const modules = files.map((file) => {
  const text = readFileSync(join(dist, file), 'utf8');
  return { file, text, ast: parse(text, { ecmaVersion: 'latest', sourceType: 'module' }) };
});
const idling = idlingFunctions(modules);
/** Points of the noisy form so far: their numbers. */
let sites = 0;
await Promise.all([form(target, false), form(noisy, true)]);
writeFileSync(stamp, '');

/** All modules in one form, and kernel.js of them. */
async function form(into, points) {
  rmSync(into, { recursive: true, force: true });
  for (const module of modules) {
    const out = join(into, module.file);
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, derive(module, idling, points));
    if (existsSync(join(dist, `${module.file}.map`))) copyFileSync(join(dist, `${module.file}.map`), `${out}.map`);
  }
  await bundle(into);
}

/** kernel.js: what a worker imports (engine/threads/threads.ts, BLOCKING_MODULES and NOISY_MODULES). */
async function bundle(into) {
  const entry = join(into, 'entry.js');
  writeFileSync(entry, ENTRY);
  const words = {
    name: 'words',
    resolveId: (id) => (id === '#words' ? join(into, 'src/machine/words/words-wasm.js') : null),
  };
  const made = await rolldown({ input: entry, platform: 'node', cwd: dirname(dist), plugins: [words] });
  await made.write({ file: join(into, 'kernel.js'), format: 'esm', sourcemap: true });
  await made.close();
}

function listed(path) {
  const at = join(dist, path);
  if (!existsSync(at)) return [];
  if (statSync(at).isFile()) return [path];
  return readdirSync(at, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? listed(join(path, entry.name)) : [join(path, entry.name)],
  );
}

/** The name a function goes by: its own, or that of the method, property or variable it stands in. */
function nameOf(node, parent) {
  if (node.id) return node.id.name;
  if (parent?.type === 'MethodDefinition' || parent?.type === 'Property' || parent?.type === 'PropertyDefinition') {
    return parent.key.name ?? parent.key.value;
  }
  return parent?.type === 'VariableDeclarator' ? parent.id.name : '';
}

/** The name that a `yield*` delegates to. */
function calleeOf(argument) {
  if (argument.type !== 'CallExpression') return '';
  const { callee } = argument;
  if (callee.type === 'Identifier') return callee.name;
  return callee.type === 'MemberExpression' ? (callee.property.name ?? '') : '';
}

function isGenerator(node) {
  return /Function/.test(node.type) && node.generator === true;
}

/** The generator that a node stands in, from its ancestors. */
function enclosing(ancestors) {
  for (let i = ancestors.length - 2; i >= 0; i--) {
    if (/Function/.test(ancestors[i].type)) return { node: ancestors[i], parent: ancestors[i - 1] };
  }
  throw new Error('a yield outside of any function');
}

/** Names of coroutines that idle, or delegate to one that does. */
function idlingFunctions(all) {
  const names = new Set();
  const calls = [];
  for (const { ast } of all) {
    ancestor(ast, {
      YieldExpression(node, _state, ancestors) {
        const { node: inside, parent } = enclosing(ancestors);
        const name = nameOf(inside, parent);
        if (node.delegate) {
          calls.push([name, calleeOf(node.argument)]);
        } else {
          full(node.argument, (part) => {
            if (part.type === 'Identifier' && /^(IDLE_|idleWhile$)/.test(part.name)) names.add(name);
          });
        }
      },
    });
  }
  for (let before = -1; before !== names.size; ) {
    before = names.size;
    for (const [caller, callee] of calls) if (names.has(callee)) names.add(caller);
  }
  return names;
}

function isDropped(argument) {
  if (argument.type === 'ConditionalExpression') return isDropped(argument.consequent) && isDropped(argument.alternate);
  return argument.type === 'CallExpression' && DROPPED.has(argument.callee.name);
}

/** `if (--ctx.quantum < 0) yield ...;` around a yield, or null. */
function pointAround(ancestors) {
  const statement = ancestors[ancestors.length - 3];
  if (statement?.type !== 'IfStatement' || statement.alternate !== null) return null;
  const { test } = statement;
  return test.type === 'BinaryExpression' && test.left.type === 'UpdateExpression' ? statement : null;
}

/** @param points whether all schedule points stay, numbered */
function derive({ text, ast }, idle, points) {
  const out = new MagicString(text);
  ancestor(ast, {
    // what exhaustive search asks for (machine/words/extra-accesses.ts); it runs coroutines
    ExpressionStatement({ start, end, expression }) {
      if (expression.type === 'CallExpression' && expression.callee.name === 'touches') out.overwrite(start, end, ';');
    },
    YieldExpression(node, _state, ancestors) {
      const { node: inside, parent } = enclosing(ancestors);
      const stays = idle.has(nameOf(inside, parent));
      if (node.delegate) {
        if (stays && idle.has(calleeOf(node.argument))) return;
        out.remove(node.start, node.argument.start);
      } else if (!stays) {
        const point = pointAround(ancestors);
        if (!points && point !== null && isDropped(node.argument)) {
          out.overwrite(point.start, point.end, ';');
          return;
        }
        out.overwrite(node.start, node.argument.start, 'ctx.waiter.yielded(ctx, ');
        out.appendRight(node.argument.end, points ? `, ${++sites})` : ')');
      }
    },
  });
  ancestor(ast, {
    Function(node, _state, ancestors) {
      const parent = ancestors[ancestors.length - 2];
      if (!isGenerator(node) || idle.has(nameOf(node, parent))) return;
      // the star of `function* name`, or of a method, which stands before its key
      const from = parent.type === 'MethodDefinition' || parent.method === true ? parent.start : node.start;
      const star = text.indexOf('*', from);
      out.remove(star, star + 1);
    },
  });
  return out.toString();
}
