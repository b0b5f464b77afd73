// Set-up for `npm start` and `npm test` on any clone: installs when the lock file is newer than what is
// installed, builds otherwise. Everything it prints goes to standard error; a failure is exit code 3.
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modified = (file) => {
  try {
    return statSync(`${root}/${file}`).mtimeMs;
  } catch {
    return 0;
  }
};
const run = (command, args) => {
  const done = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (done.status !== 0) {
    process.stderr.write(`pinfall: set-up failed: ${command} ${args.join(' ')}\n`);
    process.exit(3);
  }
};

if (modified('node_modules/.package-lock.json') < modified('package-lock.json')) {
  run('npm', ['ci', '--no-audit', '--no-fund', '--silent']); // its `prepare` builds
} else {
  run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', '.']);
  run(process.execPath, ['.ci/blocking.mjs']);
  run(process.execPath, ['.ci/page.mjs']);
  run(process.execPath, ['.ci/types.mjs']);
}
