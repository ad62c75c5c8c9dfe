import type { FlagSpec } from "../../base/flags.ts";
import { StartError } from "../../base/process.ts";

/**
 * `ETCD_DATA_DIR` for `--data-dir`, and so on for every flag. A flag and its variable together are refused, as etcd does:
 * which one was meant?
 */
export function flagsFromEnv(
  spec: FlagSpec,
  argv: readonly string[],
  env: Record<string, string | undefined>,
): { argv: string[]; unrecognized: string[] } {
  const given = new Set(argv.map((arg) => /^--?([^=]+)/.exec(arg)?.[1]));
  const flags: string[] = [];
  const unrecognized: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(prefix) || value === undefined || value === "") continue;
    const flag = name.slice(prefix.length).toLowerCase().replaceAll("_", "-");
    if (!(flag in spec)) unrecognized.push(name);
    else if (given.has(flag)) {
      throw new StartError(
        `conflicting environment variable "${name}" is shadowed by corresponding command-line flag (either unset environment variable or disable flag)`,
      );
    } else flags.push(`--${flag}=${value}`);
  }
  return { argv: flags, unrecognized };
}

const prefix = "ETCD_";
