// What `npm start` and `npm test` need before anything else; plain Node, no dependency.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync } from "node:fs";

const oldestNode = [20, 19];

/** Installs the dependencies when they are missing or older than the lockfile. Ends the process with one line if it cannot. */
export function ensureDependencies() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1]))
    fail(`kubelab needs Node.js ${oldestNode.join(".")} or newer; this is ${process.versions.node}`);
  const stamp = "node_modules/.kubelab-lock.json";
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === readFileSync("package-lock.json", "utf8")) return;
  console.log("Installing dependencies (npm ci) ...");
  if (!run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]))
    fail("npm ci failed: is the npm registry reachable from here?");
  copyFileSync("package-lock.json", stamp);
}

export function run([command, ...args]) {
  return spawnSync(command, args, { stdio: "inherit" }).status === 0;
}

export function fail(message) {
  console.error(message);
  process.exit(1);
}
