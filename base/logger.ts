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

export const logLevels = ["debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LogOptions {
  level?: LogLevel;
  /** "stderr", "stdout" and paths of files; default stderr. */
  outputs?: readonly string[];
  /** A line for people instead: time, level, message and fields, with tabs between. */
  console?: boolean;
}

export function createLogger(component: string, options: LogLevel | LogOptions = {}): Logger {
  const {
    level = "info",
    outputs = ["stderr"],
    console = false,
  } = typeof options === "string" ? { level: options } : options;
  const streams = outputs.map((to) =>
    pino.destination({ dest: to === "stderr" ? 2 : to === "stdout" ? 1 : to, sync: true, append: true }),
  );
  const write = (line: string) => {
    const text = console ? consoleLine(line) : line;
    for (const stream of streams) stream.write(text);
  };
  return pino(
    {
      level,
      base: { component },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    streams.length === 1 && !console ? streams[0]! : { write },
  );
}

function consoleLine(line: string): string {
  const { time, level, component: _, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.keys(fields).length > 0 ? `\t${JSON.stringify(fields)}` : "";
  return `${time}\t${level}\t${msg}${rest}\n`;
}

export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
