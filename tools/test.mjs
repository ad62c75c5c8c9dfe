// `npm test`: everything that must hold, on a fresh machine too: dependencies, build, types, lint, layers, all tests.
// `npm test -- PATH ...` runs only the tests under PATH. The last line is `N passed, N failed, N skipped`.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { relative, resolve } from "node:path";
import { ensureDependencies, run } from "./setup.mjs";

const only = process.argv.slice(2);
ensureDependencies();
const { fetchPeers } = await import("./peers.mjs");
const missing = fetchPeers();
for (const [name, why] of Object.entries(missing)) console.log(`peers: no ${name} (${why}): its tests are skipped`);
if (Object.keys(missing).length > 0 && process.env.REQUIRE_PEERS === "1") process.exit(1);

// A home of their own: what tools keep there (kubectl and biome their caches) stays inside the project.
process.env.HOME = resolve(".cache/home");
mkdirSync(process.env.HOME, { recursive: true });

const checks = { build: ["node", "tools/build.mjs"] };
if (only.length === 0) {
  checks.types = ["npx", "tsc", "--noEmit"];
  checks.lint = ["npx", "biome", "check", "."];
  checks.layers = ["node", "tools/check-layers.mjs"];
}
for (const [name, command] of Object.entries(checks)) {
  const started = performance.now();
  if (!run(command)) {
    console.error(`npm test: ${name} failed. \`npm run fix\` mends format and imports.`);
    process.exit(1);
  }
  console.log(`${name}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

const report = ".cache/test-report.json";
const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
rmSync(report, { force: true }); // never the counts of a run before
const { status } = spawnSync("npx", ["vitest", "run", ...reporters, ...only], { stdio: "inherit" });
const counts = summarize(JSON.parse(readFileSync(report, "utf8")));
const refused = process.env.REQUIRE_PEERS === "1" ? counts.skipped : 0;
process.exitCode = status === 0 && counts.failed + refused === 0 ? 0 : 1;
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);

/** Prints skipped tests by name and minutes per folder; a file that failed to load counts as a failed test. */
function summarize(json) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const seconds = new Map();
  for (const file of json.testResults) {
    const name = relative(process.cwd(), file.name);
    const folder = name.split("/")[0];
    seconds.set(folder, (seconds.get(folder) ?? 0) + Math.max(0, file.endTime - file.startTime) / 1000);
    if (file.status === "failed" && file.assertionResults.every((test) => test.status !== "failed")) counts.failed++;
    for (const test of file.assertionResults) {
      if (test.status === "passed") counts.passed++;
      else if (test.status === "failed") counts.failed++;
      else {
        counts.skipped++;
        console.log(`skipped: ${name}: ${test.fullName}`);
      }
    }
  }
  for (const [folder, time] of [...seconds].sort((a, b) => b[1] - a[1]))
    console.log(`${folder.padEnd(14)} ${(time / 60).toFixed(2)} min`);
  return counts;
}
