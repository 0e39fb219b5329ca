import { configDefaults, defineConfig } from 'vitest/config';

// Tests resolve our packages to their sources, so that a unit test never runs yesterday's build;
// processes that a test starts (workers, coordinators) run from dist, which the test command builds first.
export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'] } },
  test: {
    include: ['tests/**/*.test.ts'],
    // Containers and slow proofs have commands of their own: npm run test:e2e, test:long, test:gpu.
    exclude: [...configDefaults.exclude, 'tests/e2e/**', 'tests/long/**', 'tests/gpu/**'],
    // Bounds for what hangs, not for what is slow: two files share two cores, or more share fewer.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // How long what is polled for may take on a busy machine; where it is there it costs nothing.
    expect: { poll: { timeout: 30_000, interval: 20 } },
    pool: 'forks',
    maxWorkers: 2,
  },
});
