import { defineConfig } from 'vitest/config';

// For a machine with an NVIDIA GPU: `npm run test:gpu`. Otherwise as in vitest.config.ts.
export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'] } },
  test: { include: ['tests/gpu/**/*.test.ts'], testTimeout: 300_000, pool: 'forks', maxWorkers: 1 },
});
