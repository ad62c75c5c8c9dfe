// `npm run bench -- NAME [flags]`, or `all` of them one after the other: see bench/README.md.
import { spawnSync } from "node:child_process";
import { ensureDependencies, fail, run } from "./setup.mjs";

const benches = ["store", "failover", "api", "start", "memory", "scale"];
const [name, ...flags] = process.argv.slice(2);
if (![...benches, "compare", "all"].includes(name))
  fail(`usage: npm run bench -- ${benches.join("|")}|all [flags], or npm run bench -- compare A.json B.json`);
ensureDependencies();
const { fetchPeers } = await import("./peers.mjs");
for (const [peer, why] of Object.entries(fetchPeers())) console.error(`bench: no ${peer}: ${why}`);
if (!run(["node", "tools/build.mjs"])) process.exit(1);
process.on("SIGINT", () => {}); // Ctrl-C reaches the bench, too, and that has to clean up
for (const one of name === "all" ? benches : [name]) {
  if (name === "all") console.error(`bench ${one} (${benches.indexOf(one) + 1} of ${benches.length})`);
  const { status } = spawnSync("node", [`dist/bench/${one}.mjs`, ...flags], { stdio: "inherit" });
  if (status !== 0) process.exitCode = status ?? 1;
  if (status === 130) break;
}
