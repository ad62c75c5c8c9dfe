import type { FlagSpec } from "../../base/flags.ts";
import { StartError } from "../../base/process.ts";

/**
 * etcd's flags that mean nothing here, on purpose. Their defaults are taken, since scripts and configuration files spell
 * them out; anything else is refused with the reason, instead of being taken and not done.
 */
const rows: [name: string, value: string | boolean, why: string][] = [
  ["force-new-cluster", false, "`etcd-raft restore DATA-DIR/member/snap/db --skip-hash-check` makes the new cluster"],
  ["discovery", "", "members are named by --initial-cluster"],
  ["discovery-srv", "", "members are named by --initial-cluster"],
  ["discovery-srv-name", "", "members are named by --initial-cluster"],
  ["discovery-proxy", "", "members are named by --initial-cluster"],
  ["discovery-fallback", "proxy", "members are named by --initial-cluster"],
  ["discovery-endpoints", "", "members are named by --initial-cluster"],
  ["discovery-token", "", "members are named by --initial-cluster"],
  ["proxy", "off", "there is no v2 proxy"],
  ["proxy-failure-wait", "5000", "there is no v2 proxy"],
  ["proxy-refresh-interval", "30000", "there is no v2 proxy"],
  ["proxy-dial-timeout", "1000", "there is no v2 proxy"],
  ["proxy-write-timeout", "5000", "there is no v2 proxy"],
  ["proxy-read-timeout", "0", "there is no v2 proxy"],
  ["enable-v2", false, "there is no v2 API"],
  ["v2-deprecation", "write-only-drop-data", "there is no v2 API"],
  ["cors", "*", "every origin is allowed"],
  ["host-whitelist", "*", "every Host is allowed"],
  ["enable-pprof", false, "use Node's own inspector and --cpu-prof"],
  ["metrics", "basic", "there is one level of metrics"],
  ["enable-distributed-tracing", false, "nothing is traced"],
  ["enable-log-rotation", false, "rotate what reads the log"],
  ["unsafe-no-fsync", false, "nothing is acknowledged before it is on disk"],
  ["socket-reuse-port", false, "an address is taken by one member"],
  ["socket-reuse-address", false, "Node sets SO_REUSEADDR itself"],
  ["corrupt-check-time", "0s", "the periodic corruption check is not built"],
  ["compact-hash-check-time", "1m0s", "the periodic corruption check is not built"],
  ["peer-skip-client-san-verification", false, "a peer's address is not compared with its certificate in any case"],
  ["max-snapshots", "5", "a snapshot is kept until the next one is durable"],
  ["max-wals", "5", "the log is kept as long as it is needed"],
  ["backend-batch-interval", "", "there is no backend that is committed in batches"],
  ["backend-batch-limit", "0", "there is no backend that is committed in batches"],
  ["backend-bbolt-freelist-type", "array", "the state file has no free pages"],
  ["experimental-enable-v2v3", "", "there is no v2 API"],
  ["experimental-initial-corrupt-check", false, "the corruption check is not built"],
  ["warning-apply-duration", "100ms", "slow requests are not logged"],
  ["warning-unary-request-duration", "300ms", "slow requests are not logged"],
  ["debug", false, "use --log-level=debug"],
  ["log-package-levels", "", "there is one level for all, --log-level"],
  ["client-cert-file", "", "the gateway needs no certificate of its own"],
  ["client-key-file", "", "the gateway needs no certificate of its own"],
  ["peer-client-cert-file", "", "a member dials with --peer-cert-file"],
  ["peer-client-key-file", "", "a member dials with --peer-key-file"],
];

export const absentFlagSpec = Object.fromEntries(
  rows.map(([name, value, why]) => [
    name,
    { type: typeof value === "boolean" ? "boolean" : "string", help: `not built: ${why}`, default: value },
  ]),
) as FlagSpec;

export function checkAbsent(flags: Record<string, unknown>): void {
  for (const [name, value, why] of rows) {
    if (flags[name] === value || flags[name] === "") continue;
    throw new StartError(`flag --${name} of etcd's is not built here (only its default "${value}" is taken): ${why}`);
  }
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
    if (value !== "true" && value !== "false") {
      throw new StartError(`--feature-gates: ${name} is true or false, not "${value ?? ""}"`);
    }
    if (value === "true" && known !== "") throw new StartError(`--feature-gates: ${name} is not built here: ${known}`);
  }
}

/** Why it cannot be on; empty: it may. */
const featureGates: Record<string, string> = {
  StopGRPCServiceOnDefrag: "", // a defragmentation takes no time
  TxnModeWriteWithSharedBuffer: "", // of etcd's inside
  InitialCorruptCheck: "the corruption check is not built",
  CompactHashCheck: "the corruption check is not built",
  LeaseCheckpoint: "", // always on
  LeaseCheckpointPersist: "",
  SetMemberLocalAddr: "the system picks the address to dial from",
};
