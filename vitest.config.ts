import { defineConfig } from "vitest/config";

/**
 * Two kinds of tests: `*.test.ts` beside the code (fast, parallel), and `*.e2e.test.ts` with real processes and peers
 * (one file at a time: two cores and a whole cluster each). Deadlines are for hangs; nothing asserts on time.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["**/*.test.ts"],
          exclude: ["**/*.e2e.test.ts", "node_modules", "dist", ".cache"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["**/*.e2e.test.ts"],
          exclude: ["node_modules", "dist", ".cache"],
          testTimeout: 240_000,
          hookTimeout: 240_000,
          fileParallelism: false,
          // Real processes on a machine that others use too. A test that needed its second chance is shown as "retry x1".
          retry: process.env["CI"] ? 1 : 0,
        },
      },
    ],
  },
});
