import { pino } from "pino";

/**
 * Structured logs: one JSON object a line on stderr with `time` (RFC 3339), `level`, `component`, `msg` and the fields
 * of the call. Written synchronously, so that the last line before a crash is there.
 */
export interface Logger {
  debug(fields: Fields, msg: string): void;
  info(fields: Fields, msg: string): void;
  warn(fields: Fields, msg: string): void;
  error(fields: Fields, msg: string): void;
  child(fields: Fields): Logger;
}

/** `err` is printed with message, stack and cause. */
export type Fields = Record<string, unknown>;

export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

export function createLogger(component: string, level: LogLevel = "info"): Logger {
  return pino(
    {
      level,
      base: { component },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ fd: 2, sync: true }),
  );
}

export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
