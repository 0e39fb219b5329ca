import { configDefaults, defineConfig } from 'vitest/config';

// Tests resolve our packages to their sources, so that a unit test never runs yesterday's build;
// processes that a test starts (workers, coordinators) run from dist, which the test command builds first.
export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'] } },
  test: {
    include: ['tests/**/*.test.ts'],
    // Containers have a command of their own: npm run test:e2e.
    exclude: [...configDefaults.exclude, 'tests/e2e/**'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
