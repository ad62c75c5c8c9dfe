import { readFileSync } from "node:fs";
import { parse } from "yaml";
import type { FlagSpec } from "../../base/flags.ts";
import { StartError } from "../../base/process.ts";

/**
 * `--config-file`: etcd's YAML file as flags. Keys are the flags' names; certificates stand in two sections. As with etcd,
 * flags and variables beside the file count for nothing. Differs: a key that is no flag's is refused; etcd ignores it.
 *
 *     name: a
 *     listen-client-urls: https://10.0.0.1:2379
 *     client-transport-security: { cert-file: a.crt, key-file: a.key, trusted-ca-file: ca.crt, client-cert-auth: true }
 *     peer-transport-security: { auto-tls: true }
 *
 * Throws a StartError of one line.
 */
export function flagsFromFile(path: string, spec: FlagSpec): string[] {
  const refuse = (problem: string, cause?: unknown): never => {
    throw new StartError(`--config-file ${path}: ${problem}`, { cause });
  };
  let content: unknown;
  try {
    content = parse(readFileSync(path, "utf8")) ?? {};
  } catch (error) {
    return refuse((error as Error).message.split("\n")[0]!.replace(/:$/, ""), error);
  }
  const section = (value: unknown, where: string): [string, unknown][] => {
    if (value === null) return [];
    if (typeof value !== "object" || Array.isArray(value)) return refuse(`${where} holds no keys`);
    return Object.entries(value as object);
  };
  const flags: string[] = [];
  const add = (key: string, name: string | undefined, value: unknown) => {
    if (name === undefined || !(name in spec)) return refuse(`unknown key ${key}`);
    if (value === null || value === "") return; // as if it were not there
    const text = Array.isArray(value) ? value.join(",") : `${value}`;
    if (typeof value === "object" && !Array.isArray(value)) return refuse(`${key} is no single value`);
    flags.push(`--${name}=${text}`);
  };
  for (const [key, value] of section(content, "it")) {
    const flagOf = sections[key];
    if (flagOf === undefined) add(key, key, value);
    else for (const [name, inner] of section(value, key)) add(`${key}.${name}`, flagOf[name], inner);
  }
  return flags;
}

const same = ["cert-file", "key-file", "trusted-ca-file", "client-cert-auth", "auto-tls"];
/** The keys of the two sections, and whose flags they are. */
const sections: Record<string, Record<string, string>> = {
  "client-transport-security": {
    ...Object.fromEntries(same.map((name) => [name, name])),
    "client-crl-file": "client-crl-file",
    "allowed-hostname": "client-cert-allowed-hostname",
  },
  "peer-transport-security": {
    ...Object.fromEntries(same.map((name) => [name, `peer-${name}`])),
    "client-crl-file": "peer-crl-file",
    "allowed-cn": "peer-cert-allowed-cn",
    "allowed-hostname": "peer-cert-allowed-hostname",
  },
};
