import { parseArgs } from "node:util";

/**
 * Command-line flags of one process, declared once with type, default and help. Spelled as upstream spells them,
 * `--flag=value` or `--flag value`. A flag without default is required unless `optional`. Unknown flags, missing ones
 * and bad values are a `FlagError` whose message names the flag: `main` prints it as one line and exits 2.
 */
export type FlagSpec = Record<string, Flag>;

export interface Flag {
  type: "string" | "number" | "boolean" | "strings" | "duration";
  help: string;
  default?: string | number | boolean | string[];
  optional?: boolean;
}

/** A flag in one line. Of a list the default is none; `text` without one is required, an `optional` one may be absent. */
export const text = (help: string, value?: string) =>
  ({ type: "string", help, ...(value !== undefined && { default: value }) }) as const;
export const optional = (help: string) => ({ type: "string", help, optional: true }) as const;
export const number = (help: string, value: number) => ({ type: "number", help, default: value }) as const;
export const duration = (help: string, value: number) => ({ type: "duration", help, default: value }) as const;
export const boolean = (help: string, value: boolean) => ({ type: "boolean", help, default: value }) as const;
export const list = (help: string, value: string[] = []) => ({ type: "strings", help, default: value }) as const;

type ValueOf<F extends Flag> = F["type"] extends "string"
  ? string
  : F["type"] extends "number" | "duration"
    ? number
    : F["type"] extends "boolean"
      ? boolean
      : string[];

export type Flags<S extends FlagSpec> = {
  [K in keyof S]: S[K] extends { optional: true } ? ValueOf<S[K]> | undefined : ValueOf<S[K]>;
};

export class FlagError extends Error {
  override name = "FlagError";
}

/** `--help`: no error, but nothing to run either. The message is the text. */
export class HelpRequest extends Error {
  override name = "HelpRequest";
}

export function parseFlags<const S extends FlagSpec>(spec: S, argv: readonly string[]): Flags<S> {
  const options: Record<string, { type: "string" | "boolean"; multiple?: boolean }> = { help: { type: "boolean" } };
  for (const [name, { type }] of Object.entries(spec)) options[name] = { type: "string", multiple: type === "strings" };
  let values: Record<string, unknown>;
  try {
    values = parseArgs({ args: bareBooleans(spec, argv), options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new FlagError((error as Error).message.replace(/\. To specify.*$/s, ""));
  }
  if (values["help"]) throw new HelpRequest(usage(spec));
  const result: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(spec)) {
    const value = values[name];
    result[name] = value === undefined ? missing(name, flag) : convert(name, flag, value as string | string[]);
  }
  return result as Flags<S>;
}

/** parseArgs has no `--flag=false`; here every boolean carries a value, and a bare `--flag` means true. */
function bareBooleans(spec: FlagSpec, argv: readonly string[]): string[] {
  return argv.map((arg) => (spec[arg.slice(2)]?.type === "boolean" ? `${arg}=true` : arg));
}

function missing(name: string, flag: Flag): unknown {
  if (flag.default !== undefined) return flag.default;
  if (flag.optional) return undefined;
  if (flag.type === "strings") return [];
  throw new FlagError(`flag --${name} is required: ${flag.help}`);
}

function convert(name: string, flag: Flag, value: string | string[]): unknown {
  if (flag.type === "strings") return (value as string[]).flatMap((part) => part.split(",")).filter(Boolean);
  if (flag.type === "boolean") {
    const [yes, no] = [trueWords.includes(value as string), falseWords.includes(value as string)];
    if (!yes && !no) throw new FlagError(`flag --${name} takes true or false, not "${value}"`);
    return yes;
  }
  if (flag.type === "duration") return parseDuration(name, value as string);
  if (flag.type === "number") {
    const number = Number(value);
    if (value === "" || !Number.isFinite(number)) throw new FlagError(`flag --${name} takes a number, not "${value}"`);
    return number;
  }
  return value;
}

/** What Go's flags take. */
const trueWords = ["1", "t", "T", "true", "TRUE", "True"];
const falseWords = ["0", "f", "F", "false", "FALSE", "False"];

/** Go's duration text ("300ms", "1m30s") as milliseconds; a flag of type "duration" has its default in milliseconds. */
export function parseDuration(name: string, value: string): number {
  const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(value)) {
    throw new FlagError(`flag --${name} takes a duration such as 500ms or 4s, not "${value}"`);
  }
  let sum = 0;
  for (const [, number, unit] of value.matchAll(/([\d.]+)(ms|s|m|h)/g)) sum += Number(number) * unitMs[unit!]!;
  return sum;
}

export function usage(spec: FlagSpec): string {
  const rows = Object.entries(spec).map(([name, flag]) => {
    const value = String(flag.default ?? "");
    const tail = value === "" ? "" : ` (default ${value})`;
    return `  --${name.padEnd(36)} ${flag.help}${tail}`;
  });
  return ["Flags:", ...rows].join("\n");
}
