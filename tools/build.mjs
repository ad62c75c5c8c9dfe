// build: bundles every process to one file under dist/, so that starting one costs little.
import { chmodSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { build } from "esbuild";

/** dist name -> entry. A row here is all that a new process needs; benches are found by their folder. */
const entries = {
  kubelab: "cli/main.ts",
  supervisor: "deploy/supervisor/main.ts",
  "etcd-raft": "etcd-raft/main.ts",
  apiserver: "apiserver/main.ts",
  "controller-manager": "controllers/main.ts",
  scheduler: "scheduler/main.ts",
  "node-agent": "node-agent/main.ts",
  runtime: "node-agent/runtime/main.ts",
  proxy: "proxy/main.ts",
  relay: "deploy/relay/main.ts",
  "images/echo": "deploy/images/echo/main.ts",
};
for (const name of readdirSync("bench"))
  if (existsSync(`bench/${name}/main.ts`)) entries[`bench/${name}`] = `bench/${name}/main.ts`;

mkdirSync("dist", { recursive: true });
await build({
  entryPoints: entries,
  outdir: "dist",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  target: "node20.19",
  format: "esm",
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "none",
  sourcemap: "linked",
  logLevel: "warning",
  // CommonJS packages in the bundle (protobufjs) still call require for node: modules.
  banner: {
    js: '#!/usr/bin/env node\nimport { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
});
for (const name of ["kubelab", "etcd-raft"]) chmodSync(`dist/${name}.mjs`, 0o755);
