import { FlagError, HelpRequest } from "./flags.ts";
import type { Logger } from "./logger.ts";

/**
 * How every process of ours starts and ends.
 *
 * - SIGTERM and SIGINT abort the signal handed to `main`; `main` returns when it has shut down, and the process exits 0.
 * - An unexpected error (a throw out of `main`, an uncaught exception or rejection) is logged and ends the process with
 *   exit code 1; the supervisor shows it and restarts with back-off.
 * - A `FlagError` or `StartError` is the operator's to mend: one line on stderr, exit code 2 (`refused` for the latter).
 */
export function runProcess(log: Logger, main: (signal: AbortSignal) => Promise<void>, { refused = 2 } = {}): void {
  const controller = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.on(name, () => {
      if (!controller.signal.aborted) log.info({ signal: name }, "Shutting down");
      controller.abort();
    });
  }
  process.on("disconnect", () => controller.abort()); // the supervisor is gone: so are we
  const die = (err: unknown) => {
    if (err instanceof HelpRequest) {
      process.stdout.write(`${err.message}\n`);
      process.exit(0);
    }
    if (err instanceof FlagError || err instanceof StartError) {
      process.stderr.write(`${err.message}\n`);
      process.exit(err instanceof FlagError ? 2 : refused);
    }
    log.error({ err }, "Unexpected error, exiting");
    process.exit(1);
  };
  process.on("uncaughtException", die);
  process.on("unhandledRejection", die);
  main(controller.signal).then(() => process.exit(0), die);
}

/** Something about the machine or the arguments keeps the process from starting. The message says what and the way out. */
export class StartError extends Error {
  override name = "StartError";
}

/** Resolves once `signal` is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
