import { execFile } from "node:child_process";

export interface RunResult {
  ok: boolean;
  stdout: string;
  /** What went wrong, in the tool's own words, on one line. */
  problem: string;
}

/** sbin is not on an ordinary user's PATH; `ip` and `pivot_root` live there. */
export const toolPath: string = [process.env["PATH"], "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"]
  .filter(Boolean)
  .join(":");

/** Runs a tool of the machine to its end. Never throws: a missing tool is a problem like any other. */
export function run(command: string, args: string[]): Promise<RunResult> {
  return new Promise((resolve) => {
    const env = { PATH: toolPath, LC_ALL: "C" };
    execFile(command, args, { env, timeout: 10_000, killSignal: "SIGKILL" }, (error, stdout, stderr) => {
      const problem = error === null ? "" : oneLine(stderr) || oneLine(error.message);
      resolve({ ok: error === null, stdout, problem });
    });
  });
}

export const oneLine = (text: string): string => text.trim().replace(/\s*\n\s*/g, "; ");
