// build: bundles every process to one file under dist/, so that starting one costs little.
import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { build } from "esbuild";

/** dist name -> entry. A row here is all that a new process needs. */
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
  "images/echo": "deploy/images/echo/main.ts",
  "bench/store": "bench/store/main.ts",
  "bench/start": "bench/start/main.ts",
  "bench/load": "bench/load/main.ts",
  "bench/failover": "bench/failover/main.ts",
  "bench/compare": "bench/compare/main.ts",
  "bench/api": "bench/api/main.ts",
  "bench/memory": "bench/memory/main.ts",
};

mkdirSync("dist", { recursive: true });
const present = Object.fromEntries(Object.entries(entries).filter(([, entry]) => existsSync(entry)));
const missing = Object.keys(entries).filter((name) => !(name in present));
if (missing.length) console.error(`build: no entry yet for ${missing.join(", ")}`);
await build({
  entryPoints: present,
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
  // CommonJS packages in the bundle (grpc-js, protobufjs) still call require for node: modules.
  banner: {
    js: '#!/usr/bin/env node\nimport { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
});
for (const name of ["kubelab", "etcd-raft"]) if (name in present) chmodSync(`dist/${name}.mjs`, 0o755);
