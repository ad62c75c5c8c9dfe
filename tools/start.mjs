// `npm start`: from a fresh checkout to a serving cluster. Installs the dependencies, builds (under a second), and runs
// a demo lab in the foreground: Ctrl-C stops it and leaves nothing behind. Arguments go to `kubelab up`.
import { spawn } from "node:child_process";
import { ensureDependencies, fail, run } from "./setup.mjs";

ensureDependencies();
if (!run(["node", "tools/build.mjs"])) fail("the build failed");
const up = ["up", "--name", "demo", "--members", "3", "--nodes", "2", "--demo", "--rm", ...process.argv.slice(2)];
const child = spawn(process.execPath, ["dist/kubelab.mjs", ...up], { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal)); // it takes the lab down first
child.on("exit", (code) => process.exit(code ?? 1));
