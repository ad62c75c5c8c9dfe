import { isIP } from "node:net";
import type { FlagSpec, Flags } from "../../base/flags.ts";
import {
  boolean,
  duration,
  FlagError,
  list,
  number,
  optional,
  parseDuration,
  parseFlags,
  text,
} from "../../base/flags.ts";
import type { LogLevel } from "../../base/logger.ts";
import { StartError } from "../../base/process.ts";
import { parseJwtOptions } from "../auth/jwt.ts";
import { absentFlagSpec, checkAbsent, checkFeatureGates } from "./absent-flags.ts";
import { parseAutoCompaction } from "./auto-compaction.ts";
import { checkURL, hostOf, initialCluster } from "./cluster.ts";
import type { CorruptionChecks } from "./corruption.ts";
import { flagsFromEnv } from "./env-flags.ts";
import { sideConfig, tlsFlagSpec } from "./tls-config.ts";

const levels: Record<string, LogLevel> = {
  debug: "debug",
  info: "info",
  warn: "warn",
  error: "error",
  dpanic: "fatal",
  panic: "fatal",
  fatal: "fatal",
  silent: "silent",
};

/** etcd's flags with etcd's defaults, as far as they do something here; others are refused by name. */
export const flagSpec = {
  name: text("Human-readable name of this member", "default"),
  "data-dir": optional("Where the data lives (default NAME.etcd)"),
  "wal-dir": optional("Where the WAL lives (default DATA-DIR/member/wal)"),
  "listen-client-urls": list("URLs to serve clients on", ["http://localhost:2379"]),
  "advertise-client-urls": list("Client URLs that the other members tell of this one"),
  "listen-peer-urls": list("URLs to serve peers on", ["http://localhost:2380"]),
  "initial-advertise-peer-urls": list("Peer URLs under which the others reach this member"),
  "initial-cluster": optional("All members: name=peerURL,..."),
  "initial-cluster-token": text("Keeps clusters apart", "etcd-cluster"),
  "initial-cluster-state": text("new, or existing to join the running cluster that this member was added to", "new"),
  "strict-reconfig-check": boolean("Refuse changes of members that could cost the majority", true),
  "heartbeat-interval": number("Milliseconds", 100),
  "election-timeout": number("Milliseconds", 1000),
  // Differs: etcd 3.6 has 10,000, but its snapshot is a few bytes; ours writes the state (as it does up to 3.5, with 100,000).
  "snapshot-count": number("Committed entries between two snapshots, at least", 100_000),
  "snapshot-catchup-entries": number("Entries kept after a snapshot for followers that are behind", 5000),
  "pre-vote": boolean("Ask before an election whether it could be won", true),
  "initial-election-tick-advance": boolean("A fresh member does not wait a whole election timeout", true),
  "auto-compaction-mode": text("periodic or revision", "periodic"),
  "auto-compaction-retention": text("Hours, a duration or revisions to keep; 0 is off", "0"),
  "compaction-batch-limit": number("Revisions that a compaction takes in one step", 1000),
  "max-txn-ops": number("Operations allowed in a transaction", 128),
  "max-request-bytes": number("Largest request that is accepted", 1.5 * 1024 * 1024),
  "max-concurrent-streams": number("Calls that one client connection may have open; at most 65536", 2 ** 32 - 1),
  "grpc-keepalive-min-time": duration("A client that pings more often is cut off", 5000),
  "grpc-keepalive-interval": duration("A client that was silent for so long is pinged; 0s is never", 7_200_000),
  "grpc-keepalive-timeout": duration("And cut off when it stays silent for so long; 0s is never", 20_000),
  "quota-backend-bytes": number("Live bytes at which writes are refused; 0 is 2 GiB, less is no quota", 0),
  "auth-token": text("simple, or jwt,pub-key=FILE,priv-key=FILE,sign-method=METHOD,ttl=DURATION", "simple"),
  "auth-token-ttl": number("Seconds that a simple token lives after its last use", 300),
  "bcrypt-cost": number("Cost of hashing passwords, 4 to 31", 10),
  "initial-corrupt-check": boolean("Compare the data with the other members' before serving", false),
  "corrupt-check-time": duration("How often the leader compares the members' data; 0s is never", 0),
  "compact-hash-check-enabled": boolean("Compare the members' data after compactions", false),
  "compact-hash-check-time": duration("How often it is looked whether there was a compaction", 60_000),
  "watch-progress-notify-interval": duration("How often idle watchers hear of progress", 600_000),
  ...tlsFlagSpec,
  "enable-grpc-gateway": boolean("Serve the JSON gateway under /v3/", true),
  "listen-client-http-urls": list("URLs for HTTP/1.1, which the client URLs then do not serve"),
  "listen-metrics-urls": list("URLs for /health /version /livez /readyz /metrics"),
  "listen-outside": optional("HOST:PORT outside the lab on which to serve clients too"),
  "fault-socket": optional("Unix socket on which faults can be asked for (base/faults.ts): for tests and labs"),
  "config-file": optional("etcd's YAML file instead of flags and variables"),
  "feature-gates": list("NAME=true,..."),
  logger: text("zap: structured lines", "zap"),
  "log-format": text("json, or console for people", "json"),
  "log-outputs": list("default, stderr, stdout or files", ["default"]),
  "log-level": text(Object.keys(levels).join(", "), "info"),
} as const satisfies FlagSpec;

export type Config = ReturnType<typeof parseConfig>;

/** Throws FlagError or StartError: one line that names the flag. */
export function parseConfig(argv: readonly string[], env: Record<string, string | undefined> = {}) {
  const warnings: string[] = []; // what is odd, but no reason not to start
  const given = argv.map((arg) => asOurs(arg, warnings));
  const fromEnv = flagsFromEnv(allFlags, given, env);
  const all: Record<string, unknown> = parseFlags(allFlags, [...fromEnv.argv, ...given]);
  for (const [name, flag] of Object.entries(allFlags)) {
    if (flag.optional && all[name] === "") all[name] = undefined; // empty is as if it were not there
  }
  checkAbsent(all);
  const flags = all as Flags<typeof flagSpec>;
  checkFeatureGates(flags["feature-gates"]);
  checkNumbers(flags);
  const or = (urls: string[], fallback: string[]) => (urls.length > 0 ? urls : fallback);
  for (const url of flags["advertise-client-urls"]) checkURL("advertise-client-urls", url);
  for (const name of ["client", "peer", "client-http", "metrics"] as const)
    for (const url of flags[`listen-${name}-urls`])
      checkBindURL(`listen-${name}-urls`, checkURL(`listen-${name}-urls`, url));
  const peerURLs = or(flags["initial-advertise-peer-urls"], flags["listen-peer-urls"]).map((url) =>
    checkURL("initial-advertise-peer-urls", url),
  );
  const election = flags["election-timeout"];
  const heartbeat = flags["heartbeat-interval"];
  if (!(heartbeat > 0) || election < 5 * heartbeat) {
    throw new StartError(
      `--election-timeout[${election}ms] should be at least as 5 times as --heartbeat-interval[${heartbeat}ms]`,
    );
  }
  if (election > 50_000)
    throw new StartError(`--election-timeout[${election}ms] is too long, and should be set less than 50000ms`);
  if (!(flags["log-level"] in levels))
    throw new StartError(`flag --log-level is one of ${Object.keys(levels).join(", ")}, not "${flags["log-level"]}"`);
  oneOf(flags, "initial-cluster-state", ["new", "existing"]);
  oneOf(flags, "logger", ["zap"]);
  oneOf(flags, "log-format", ["json", "console"]);
  if (flags["log-outputs"].some((output) => output.startsWith("systemd/")))
    throw new StartError("flag --log-outputs: systemd/journal is not built here: systemd reads stderr by itself");
  const secureMetrics = [...flags["listen-metrics-urls"], ...flags["listen-client-http-urls"]].filter(isSecure);
  return {
    flags,
    dataDir: flags["data-dir"] ?? `${flags.name}.etcd`,
    peerURLs,
    /** Who is in the cluster, by the flags: counts only where there is no data. Throws StartError. */
    cluster: () =>
      initialCluster({
        name: flags.name,
        initialCluster: flags["initial-cluster"] ?? peerURLs.map((url) => `${flags.name}=${url}`).join(","),
        token: flags["initial-cluster-token"],
        advertisePeerURLs: peerURLs,
      }),
    advertiseClientURLs: or(flags["advertise-client-urls"], flags["listen-client-urls"]),
    outside: flags["listen-outside"] === undefined ? undefined : hostAndPort(flags["listen-outside"]),
    autoCompaction: parseAutoCompaction(flags["auto-compaction-mode"], flags["auto-compaction-retention"]),
    corruption: corruptionChecks(flags),
    jwt: parseAuthToken(flags["auth-token"]),
    clientTLS: sideConfig(flags, "", [...flags["listen-client-urls"], ...secureMetrics], warnings),
    peerTLS: sideConfig(flags, "peer-", [...flags["listen-peer-urls"], ...peerURLs], warnings),
    unrecognized: fromEnv.unrecognized, // `ETCD_*` variables that are no flag's
    warnings,
    bcryptCost: bcryptCost(flags["bcrypt-cost"], warnings),
    progressNotifyMs: progressNotify(flags["watch-progress-notify-interval"], warnings),
    log: {
      level: levels[flags["log-level"]]!,
      console: flags["log-format"] === "console",
      outputs: flags["log-outputs"].map((output) => (output === "default" ? "stderr" : output)),
    },
  };
}

const allFlags: FlagSpec = { ...absentFlagSpec, ...flagSpec };

/** `-name` is `--name`, as in Go; `--experimental-name` is what `--name` became in 3.6. */
function asOurs(arg: string, warnings: string[]): string {
  const [, dashes, name, rest] = /^(--?)([a-z][\w-]*)(.*)$/s.exec(arg) ?? [];
  if (dashes === undefined) return arg;
  const plain = name!.replace(/^experimental-/, "");
  if (name === plain || name! in allFlags || !(plain in allFlags)) return `--${name}${rest}`;
  warnings.push(`--${name} is deprecated: use --${plain}`);
  return `--${plain}${rest}`;
}

/** The file named by flag or variable; undefined: flags and variables count. */
export function configFileOf(argv: readonly string[], env: Record<string, string | undefined>): string | undefined {
  const at = argv.findIndex((arg) => /^--?config-file(=|$)/.test(arg));
  if (at < 0) return env["ETCD_CONFIG_FILE"] || undefined;
  return argv[at]!.includes("=") ? argv[at]!.slice(argv[at]!.indexOf("=") + 1) : argv[at + 1];
}

/** Go's flags of these are whole numbers. */
function checkNumbers(flags: Flags<typeof flagSpec>): void {
  for (const [name, value] of Object.entries(flags)) {
    if (typeof value !== "number") continue;
    const negative = value < 0 && name !== "quota-backend-bytes";
    if (!Number.isSafeInteger(value) || negative)
      throw new FlagError(`flag --${name} takes a whole number, not "${value}"`);
  }
}

/** The gates are what 3.6 calls the first and the third flag. */
function corruptionChecks(flags: Flags<typeof flagSpec>): CorruptionChecks {
  const on = (gate: string) => flags["feature-gates"].includes(`${gate}=true`);
  const compactedMs = flags["compact-hash-check-time"];
  if (compactedMs <= 0) throw new StartError("--compact-hash-check-time must be >0 (set to 0s)");
  return {
    atStart: flags["initial-corrupt-check"] || on("InitialCorruptCheck"),
    everyMs: flags["corrupt-check-time"],
    compactedMs: flags["compact-hash-check-enabled"] || on("CompactHashCheck") ? compactedMs : 0,
  };
}

/** A name may stand for several addresses, or for none of this machine's. */
function checkBindURL(flag: string, url: string): void {
  const host = hostOf(url);
  if (host !== "localhost" && !isIP(host)) throw new StartError(`--${flag}: expected IP in URL for binding (${url})`);
}

function bcryptCost(given: number, warnings: string[]): number {
  if (given >= 4 && given <= 31) return given;
  warnings.push(`--bcrypt-cost: use default bcrypt cost 10 instead of the invalid given cost ${given}`);
  return 10;
}

/** As etcd: 0 is the default, and not more than ten a second. */
function progressNotify(given: number, warnings: string[]): number {
  if (given > 0 && given < 100) warnings.push("adjusting watch progress notify interval to minimum period: 100ms");
  return given === 0 ? flagSpec["watch-progress-notify-interval"].default : Math.max(100, given);
}

const isSecure = (url: string) => url.startsWith("https:");

/** Undefined: simple tokens. */
function parseAuthToken(text: string): ReturnType<typeof parseJwtOptions> | undefined {
  const kind = text.split(",")[0];
  if (kind === "simple") return undefined; // etcd reads no options of it either
  if (kind === "jwt") return parseJwtOptions(text, (duration) => parseDuration("auth-token", duration));
  throw new StartError(`--auth-token: auth: invalid auth options: "${kind}" is neither simple nor jwt`);
}

function oneOf(flags: Flags<typeof flagSpec>, name: keyof typeof flagSpec, known: readonly string[]): void {
  for (const value of [flags[name]].flat()) {
    if (!known.includes(`${value}`)) throw new StartError(`flag --${name} is ${known.join(" or ")}, not "${value}"`);
  }
}

function hostAndPort(text: string): { host: string; port: number } {
  const match = /^\[?([^\]]+)\]?:(\d+)$/.exec(text);
  if (!match) throw new StartError(`flag --listen-outside: "${text}" is not HOST:PORT`);
  return { host: match[1]!, port: Number(match[2]) };
}
