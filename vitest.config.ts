import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // vitest leaves a core to itself, which on two cores means one test file at a time
    maxWorkers: 2,
    testTimeout: 120_000,
    server: { deps: { external: [/\/dist\//] } },
  },
});
