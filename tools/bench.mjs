// `npm run bench -- store|api|failover|memory|start|compare [flags]`: see bench/README.md.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { ensureDependencies, fail, run } from "./setup.mjs";

const [name, ...flags] = process.argv.slice(2);
if (name === undefined || !existsSync(`bench/${name}/main.ts`))
  fail("usage: npm run bench -- store|api|failover|memory|start|compare [flags]");
ensureDependencies();
const { fetchPeers } = await import("./peers.mjs");
for (const [peer, why] of Object.entries(fetchPeers())) console.error(`bench: no ${peer}: ${why}`);
if (!run(["node", "tools/build.mjs"])) process.exit(1);
process.on("SIGINT", () => {}); // Ctrl-C reaches the bench, too, and that has to clean up
process.exitCode = spawnSync("node", [`dist/bench/${name}.mjs`, ...flags], { stdio: "inherit" }).status ?? 1;
