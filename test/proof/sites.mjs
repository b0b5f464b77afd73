// Where kernel code can lose a lock or a re-check: found in the built modules, so that whatever is written there is met.
//   noop:FILE:FUNCTION      a coroutine that takes or gives back locks and returns nothing does nothing
//   class:LOCK_X            nobody takes that class of locks: no attempt, no release, no point of either
//   class:FILE:FUNCTION:LOCK_X   one function does not
//   check:FILE:LINE         what is read once more decides nothing: the branch is never taken
import { parse } from 'acorn';
import { ancestor, simple } from 'acorn-walk';
import MagicString from 'magic-string';

export const ROOMS = ['src/locks', 'src/mm', 'src/kvm', 'src/hyp', 'src/policies', 'src/machine'];

const TAKES = /^(spin|mutex|folio|read|write)Lock$|^down(Read|Write)$/;
const GIVES = /^(spin|mutex|folio|read|write)Unlock$|^up(Read|Write)$/;
const TRIES = /^(spin|mutex|folio|write)Trylock$|^down(Read|Write)Trylock$/;
const POINTS = /^(acquires|acquiresRead|releases|releasesRead|tries)$/;
const READS = /^(readOnce|get|peek|glance)$/;

const nameOf = (node) => (node?.type === 'CallExpression' && node.callee.type === 'Identifier' ? node.callee.name : '');

function classOf(call) {
  if (nameOf(call).startsWith('folio')) return 'LOCK_FOLIO';
  const last = call.arguments.at(-1);
  return last?.type === 'Identifier' && last.name.startsWith('LOCK_') ? last.name : '';
}

function callsIn(node, pattern) {
  const found = [];
  simple(node, { CallExpression: (call) => void (pattern.test(nameOf(call)) && found.push(call)) });
  return found;
}

const isPoint = (node, pattern) =>
  node?.type === 'IfStatement' &&
  node.alternate === null &&
  callsIn(node, pattern).length > 0 &&
  node.test.type === 'BinaryExpression' &&
  node.test.left.type === 'UpdateExpression';

/** All sites of a module: `{ id, at, from, to, text }` of what is replaced; one id may have several. */
export function sitesOf(file, text) {
  const ast = parse(text, { ecmaVersion: 'latest', sourceType: 'module', locations: true });
  const sites = [];
  const add = (id, node, replacement) => sites.push({ id, from: node.start, to: node.end, text: replacement });
  ancestor(ast, {
    FunctionDeclaration(node) {
      if (!node.generator || !/[lL]ock/.test(node.id.name)) return;
      let returns = false;
      simple(node.body, { ReturnStatement: (each) => void (returns ||= each.argument !== null) });
      if (!returns)
        sites.push({
          id: `noop:${file}:${node.id.name}`,
          from: node.body.start + 1,
          to: node.body.start + 1,
          text: ' return; ',
        });
    },
    BlockStatement(node, _state, ancestors) {
      const inside = ancestors.findLast((each) => /Function/.test(each.type));
      const fn = inside?.id?.name ?? '';
      node.body.forEach((statement, i) => {
        if (/^(If|Block|For|Try|Switch)/.test(statement.type) && statement.type !== 'IfStatement') return;
        const plain =
          statement.type === 'ExpressionStatement' ||
          (statement.type === 'WhileStatement' && statement.body.type !== 'BlockStatement');
        if (!plain) return;
        for (const call of [...callsIn(statement, TAKES), ...callsIn(statement, GIVES)]) {
          const its = classOf(call);
          if (its === '') continue;
          const before = node.body[i - 1];
          for (const id of [`class:${its}`, `class:${file}:${fn}:${its}`]) {
            add(id, statement, ';');
            if (isPoint(before, POINTS)) add(id, before, ';');
          }
          break;
        }
      });
    },
    CallExpression(node, _state, ancestors) {
      if (!TRIES.test(nameOf(node))) return;
      const its = classOf(node);
      const fn = ancestors.findLast((each) => /Function/.test(each.type))?.id?.name ?? '';
      if (its !== '') for (const id of [`class:${its}`, `class:${file}:${fn}:${its}`]) add(id, node, 'true');
    },
    IfStatement(node) {
      if (callsIn(node.test, READS).length === 0 || file.startsWith('src/machine') || file.startsWith('src/locks'))
        return;
      let leaves = false;
      simple(node.consequent, {
        ReturnStatement: () => void (leaves = true),
        ContinueStatement: () => void (leaves = true),
        BreakStatement: () => void (leaves = true),
      });
      if (leaves) add(`check:${file}:${node.loc.start.line}`, node.test, 'false');
    },
  });
  // one function's locks: only where it takes and gives them back itself
  const pairs = new Map();
  for (const { id } of sites) pairs.set(id, (pairs.get(id) ?? 0) + 1);
  return sites.filter(({ id }) => !id.startsWith(`class:${file}`) || pairs.get(id) >= 3);
}

/** The module with one mutant in it. */
export function mutated(file, text, mutant) {
  const out = new MagicString(text);
  for (const site of sitesOf(file, text)) {
    if (site.id !== mutant) continue;
    if (site.from === site.to) out.appendLeft(site.from, site.text);
    else out.overwrite(site.from, site.to, site.text);
  }
  return out.toString();
}

/** The module, which tells of the sites that it comes to. */
export function telling(file, text) {
  const out = new MagicString(text);
  for (const { id, from, to, text: replacement } of sitesOf(file, text)) {
    const tell = `globalThis.__reached?.add(${JSON.stringify(id)})`;
    if (from === to || replacement === ';') out.appendLeft(from, ` ${tell}; `);
    else out.appendLeft(from, `(${tell}, `).appendRight(to, ')');
  }
  return out.toString();
}
