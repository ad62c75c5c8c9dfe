import { type FlagSpec, parseDuration } from "../../base/flags.ts";
import { StartError } from "../../base/process.ts";

/**
 * etcd's flags that mean nothing here, on purpose: why, then `name=default`. Their defaults are taken, since scripts and
 * configuration files spell them out; anything else is refused with the reason, instead of being taken and not done. No
 * reason: it cannot be told apart, and is taken.
 */
const rows: [why: string, flags: string][] = [
  ["", "enable-lease-checkpoint=false enable-lease-checkpoint-persist=false stop-grpc-service-on-defrag=false"],
  ["", "txn-mode-write-with-shared-buffer=true disable-log-sampling=false"],
  ["", "v2-deprecation=write-only-drop-data backend-bbolt-freelist-type=map"],
  ["`etcd-raft restore DATA-DIR/member/snap/db --skip-hash-check` makes the new cluster", "force-new-cluster=false"],
  [
    "members are named by --initial-cluster",
    "discovery discovery-srv discovery-srv-name discovery-proxy discovery-fallback=proxy discovery-endpoints discovery-token " +
      "discovery-dial-timeout=2s discovery-request-timeout=5s discovery-keepalive-time=2s discovery-keepalive-timeout=6s " +
      "discovery-insecure-transport=true discovery-insecure-skip-tls-verify=false discovery-cert discovery-key " +
      "discovery-cacert discovery-user discovery-password",
  ],
  ["there is no v2 proxy", "proxy=off proxy-failure-wait=5000 proxy-refresh-interval=30000 proxy-dial-timeout=1000"],
  ["there is no v2 proxy", "proxy-write-timeout=5000 proxy-read-timeout=0"],
  ["there is no v2 API", "enable-v2=false enable-v2v3"],
  ["every origin is allowed", "cors=*"],
  ["every Host is allowed", "host-whitelist=*"],
  ["use Node's own inspector and --cpu-prof", "enable-pprof=false"],
  ["there is one level of metrics", "metrics=basic"],
  ["nothing is traced", "enable-distributed-tracing=false distributed-tracing-address=localhost:4317"],
  ["nothing is traced", "distributed-tracing-service-name=etcd distributed-tracing-instance-id"],
  ["nothing is traced", "distributed-tracing-sampling-rate=0"],
  ["rotate what reads the log", "enable-log-rotation=false log-rotation-config-json"],
  ["nothing is acknowledged before it is on disk", "unsafe-no-fsync=false"],
  ["an address is taken by one member", "socket-reuse-port=false"],
  ["Node sets SO_REUSEADDR itself", "socket-reuse-address=false"],
  ["a peer's address is not compared with its certificate in any case", "peer-skip-client-san-verification=false"],
  ["a snapshot is kept until the next one is durable", "max-snapshots=5"],
  ["the log is kept as long as it is needed", "max-wals=5"],
  ["there is no backend that is committed in batches", "backend-batch-interval backend-batch-limit=0"],
  ["the state file has no free pages", "bootstrap-defrag-threshold-megabytes=0"],
  ["it pauses for 10 ms", "compaction-sleep-interval=10ms"],
  ["one at a time", "max-learners=1"],
  ["nothing is locked into memory", "memory-mlock=false"],
  ["versions are compared when a downgrade is asked for", "downgrade-check-time=5s"],
  ["the system picks the address to dial from", "local-address set-member-localaddr=false"],
  ["slow requests are not logged", "warning-apply-duration=100ms warning-unary-request-duration=300ms"],
  ["there are no connections of rafthttp", "raft-read-timeout=5s raft-write-timeout=5s"],
  ["use --log-level=debug", "debug=false"],
  ["there is one level for all, --log-level", "log-package-levels"],
  ["the gateway needs no certificate of its own", "client-cert-file client-key-file"],
  ["a member dials with --peer-cert-file and --peer-key-file", "peer-client-cert-file peer-client-key-file"],
];

const absent = rows.flatMap(([why, flags]) =>
  flags.split(" ").map((flag) => {
    const [name, value = ""] = flag.split("=") as [string, string | undefined];
    const bool = value === "true" || value === "false";
    return { name, why, type: bool ? "boolean" : "string", value: bool ? value === "true" : value };
  }),
);

export const absentFlagSpec = Object.fromEntries(
  absent.map(({ name, type, value, why }) => [
    name,
    { type, help: `not built: ${why || "always so"}`, default: value },
  ]),
) as FlagSpec;

export function checkAbsent(flags: Record<string, unknown>): void {
  for (const { name, value, why } of absent) {
    const given = flags[name];
    if (why === "" || given === value || given === "" || isSameDuration(given, value)) continue;
    throw new StartError(`flag --${name} of etcd's is not built here (only its default "${value}" is taken): ${why}`);
  }
}

/** 1m is 1m0s. */
function isSameDuration(given: unknown, value: unknown): boolean {
  const inMs = (text: unknown) => (/^(\d+(h|m|s|ms))+$/.test(`${text}`) ? parseDuration("", `${text}`) : Number.NaN);
  return inMs(given) === inMs(value);
}

/**
 * `--feature-gates=A=true,B=false`. Those that stand for something here (or cannot be told apart) are taken; the others may
 * only be off.
 */
export function checkFeatureGates(gates: readonly string[]): void {
  for (const gate of gates) {
    const [name, value] = gate.split("=") as [string, string | undefined];
    const known = featureGates[name];
    if (known === undefined) throw new StartError(`--feature-gates: unrecognized feature gate: ${name}`);
    if (value !== "true" && value !== "false")
      throw new StartError(`--feature-gates: ${name} is true or false, not "${value ?? ""}"`);
    if (value === "true" && known !== "") throw new StartError(`--feature-gates: ${name} is not built here: ${known}`);
  }
}

/** Why it cannot be on; empty: it may. */
const featureGates: Record<string, string> = {
  StopGRPCServiceOnDefrag: "", // a defragmentation takes no time
  TxnModeWriteWithSharedBuffer: "", // of etcd's inside
  InitialCorruptCheck: "",
  CompactHashCheck: "",
  LeaseCheckpoint: "", // always on
  LeaseCheckpointPersist: "",
  SetMemberLocalAddr: "the system picks the address to dial from",
};
