import { Counter, Gauge, type Registry } from "../../base/metrics.ts";
import type { CallCounts } from "../../net/grpc-call.ts";
import { Code } from "../../net/grpc-error.ts";
import type { Method } from "../../proto/wire.ts";
import { versionOf } from "./downgrade.ts";
import type { Member } from "./member.ts";
import { heldBytes, liveBytes } from "./quota.ts";
import { etcdVersion } from "./version.ts";

/**
 * Metrics that are read off the member when somebody asks, by etcd's names: so they cost a number each while it works.
 * Absent are those of what we do not have: bbolt's commits and defragmentations, the v2 store, Go's runtime.
 */
export interface Observed {
  watchers(): number;
  watchStreams(): number;
  // biome-ignore lint/suspicious/noExplicitAny: methods of different types
  calls(): Iterable<{ method: Method<any, any, any>; counts: CallCounts }>;
}

export function observeMember(registry: Registry, member: Member, observed: Observed): void {
  const registers = [registry];
  const { applier, hub, runner, leases } = member;
  const { store, counts, auth } = applier;
  const gauges: [name: string, help: string, value: () => number][] = [
    ["etcd_server_has_leader", "1 if a leader is known", () => (member.leader === 0n ? 0 : 1)],
    ["etcd_server_is_leader", "1 if this member leads", () => (member.isLeader ? 1 : 0)],
    ["etcd_server_is_learner", "1 if this member has no vote yet", () => (member.isLearner ? 1 : 0)],
    ["etcd_server_proposals_pending", "Proposals on their way", () => member.pendingCount],
    ["etcd_server_proposals_committed_total", "The commit index", () => runner.status().commit],
    ["etcd_server_proposals_applied_total", "The applied index", () => runner.status().applied],
    ["etcd_server_quota_backend_bytes", "The quota on what is held", () => member.quota.bytes],
    ["etcd_mvcc_db_total_size_in_bytes", "Memory held for keys and values", () => heldBytes(store)],
    ["etcd_mvcc_db_total_size_in_use_in_bytes", "Keys and values that can be read", () => liveBytes(store)],
    ["etcd_debugging_mvcc_keys_total", "Keys, deleted ones included until compaction", () => store.index.size],
    ["etcd_debugging_mvcc_current_revision", "The store's revision", () => store.revision],
    ["etcd_debugging_mvcc_compact_revision", "The last compacted revision", () => store.compactRevision],
    ["etcd_debugging_mvcc_watch_stream_total", "Watch streams", observed.watchStreams],
    ["etcd_debugging_mvcc_watcher_total", "Watchers", observed.watchers],
    [
      "etcd_debugging_mvcc_slow_watcher_total",
      "Watchers that are behind, or wait for a slow reader",
      () => Math.max(0, observed.watchers() - hub.syncedCount),
    ],
    ["etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes of keys and values put", () => counts.putBytes],
    ["etcd_debugging_auth_revision", "The revision of the auth store", () => auth.revision],
  ];
  for (const [name, help, value] of gauges) gauge(registers, name, help, [], (now) => now.set(value()));
  const totals: [name: string, help: string, value: () => number][] = [
    ["etcd_mvcc_put_total", "Puts, outside of transactions", () => counts.puts],
    ["etcd_mvcc_delete_total", "Keys deleted, outside of transactions", () => counts.deletes],
    ["etcd_mvcc_txn_total", "Transactions that may write", () => counts.txns],
    ["etcd_mvcc_range_total", "Ranges, outside of transactions", () => counts.ranges],
    ["etcd_debugging_mvcc_events_total", "Events given to watchers", () => hub.delivered],
    ["etcd_debugging_lease_granted_total", "Leases granted", () => counts.leasesGranted],
    ["etcd_debugging_lease_revoked_total", "Leases revoked", () => counts.leasesRevoked],
    ["etcd_debugging_lease_renewed_total", "Renewals by this member as the leader", () => leases.renewed],
    ["etcd_debugging_server_lease_expired_total", "Leases that this member as the leader ended", () => leases.expired],
  ];
  for (const [name, help, value] of totals) counter(registers, name, help, [], (total) => total.inc(value()));
  constant(registers, "etcd_server_version", "The etcd that this member stands in for", {
    server_version: etcdVersion,
  });
  constant(registers, "etcd_server_id", "The member's id", { server_id: member.id.toString(16) });
  gauge(
    registers,
    "etcd_cluster_version",
    "The cluster's version, 1 behind its name",
    ["cluster_version"],
    (version) => {
      version.set({ cluster_version: versionOf(applier.downgrade).replace(/\.0$/, "") }, 1);
    },
  );
  const labels = ["server_id", "alarm_type"];
  gauge(registers, "etcd_debugging_server_alarms", "Alarms that are raised, 1 each", labels, (alarms) => {
    for (const { memberID, alarm } of applier.alarms.list())
      alarms.set({ server_id: memberID.toString(16), alarm_type: `${alarm}` }, 1);
  });
  countCalls(registers, observed.calls);
}

type Registers = Registry[];

/** `observe` says anew what is the case, whenever somebody asks. */
function gauge(registers: Registers, name: string, help: string, labelNames: string[], observe: (now: Gauge) => void) {
  const collect = () => {
    made.reset();
    observe(made);
  };
  const made: Gauge = new Gauge({ name, help, labelNames, registers, collect });
}

function counter(
  registers: Registers,
  name: string,
  help: string,
  labelNames: string[],
  observe: (total: Counter) => void,
) {
  const collect = () => {
    made.reset();
    observe(made);
  };
  const made: Counter = new Counter({ name, help, labelNames, registers, collect });
}

function constant(registers: Registry[], name: string, help: string, labels: Record<string, string>): void {
  new Gauge({ name, help, labelNames: Object.keys(labels), registers }).set(labels, 1);
}

/** As go-grpc-prometheus has them. */
function countCalls(registers: Registry[], calls: Observed["calls"]): void {
  const labels = (method: Method<unknown, unknown>) => {
    const [, grpc_service, grpc_method] = method.path.split("/");
    const grpc_type = {
      unary: "unary",
      serverStream: "server_stream",
      clientStream: "client_stream",
      bidi: "bidi_stream",
    };
    return { grpc_method: grpc_method!, grpc_service: grpc_service!, grpc_type: grpc_type[method.kind as "unary"] };
  };
  const kinds: [name: string, help: string, count: (counts: CallCounts) => number][] = [
    ["grpc_server_started_total", "Calls begun", ({ started }) => started],
    ["grpc_server_msg_received_total", "Messages received", ({ received }) => received],
    ["grpc_server_msg_sent_total", "Messages sent", ({ sent }) => sent],
  ];
  const labelNames = ["grpc_method", "grpc_service", "grpc_type"];
  for (const [name, help, count] of kinds) {
    counter(registers, name, help, labelNames, (total) => {
      for (const { method, counts } of calls()) total.inc(labels(method), count(counts));
    });
  }
  counter(
    registers,
    "grpc_server_handled_total",
    "Calls ended, by their code",
    [...labelNames, "grpc_code"],
    (total) => {
      for (const { method, counts } of calls())
        for (const [code, count] of counts.handled) total.inc({ grpc_code: nameOf(code), ...labels(method) }, count);
    },
  );
}

const nameOf = (code: Code) => Object.entries(Code).find(([, value]) => value === code)?.[0] ?? "Unknown";
