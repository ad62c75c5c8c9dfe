import { Counter, Gauge, type Registry } from "../../base/metrics.ts";
import type { CallCounts } from "../../net/grpc-call.ts";
import type { Method } from "../../proto/wire.ts";
import { codeName } from "../errors.ts";
import { idText } from "./cluster.ts";
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
  const { applier, hub, runner, leases } = member;
  const { store, counts, auth } = applier;
  /** `rows` says anew what is the case, whenever somebody asks. */
  const observe = (
    Kind: typeof Gauge | typeof Counter,
    name: string,
    help: string,
    rows: () => Rows,
    labelNames: string[] = [],
  ) => {
    const collect = () => {
      made.reset();
      for (const [labels, value] of rows()) made.inc(labels, value);
    };
    const made: Gauge | Counter = new Kind({ name, help, labelNames, registers: [registry], collect });
  };
  const behind = () => observed.watchers() - hub.syncedCount;
  const gauges: Row[] = [
    ["etcd_server_has_leader", "1 if a leader is known", () => (member.leader === 0n ? 0 : 1)],
    ["etcd_server_is_leader", "1 if this member leads", () => (member.isLeader ? 1 : 0)],
    ["etcd_server_is_learner", "1 if this member has no vote yet", () => (member.isLearner ? 1 : 0)],
    ["etcd_server_proposals_pending", "Proposals on their way", () => member.pendingCount],
    ["etcd_server_proposals_committed_total", "The commit index", () => runner.raft.log.committed],
    ["etcd_server_proposals_applied_total", "The applied index", () => runner.raft.log.applied],
    ["etcd_server_snapshot_apply_in_progress_total", "1 while a received state is taken in", () => runner.installing],
    ["etcd_server_quota_backend_bytes", "The quota on what is held", () => member.quota.bytes],
    ["etcd_disk_wal_write_bytes_total", "Bytes of records written to the WAL", () => member.wal.writtenBytes],
    ["etcd_mvcc_db_total_size_in_bytes", "Memory held for keys and values", () => heldBytes(store)],
    ["etcd_mvcc_db_total_size_in_use_in_bytes", "Keys and values that can be read", () => liveBytes(store)],
    ["etcd_debugging_mvcc_keys_total", "Keys, deleted ones included until compaction", () => store.index.size],
    ["etcd_debugging_mvcc_current_revision", "The store's revision", () => store.revision],
    ["etcd_debugging_mvcc_compact_revision", "The last compacted revision", () => store.compactRevision],
    ["etcd_debugging_mvcc_watch_stream_total", "Watch streams", observed.watchStreams],
    ["etcd_debugging_mvcc_watcher_total", "Watchers", observed.watchers],
    ["etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind", () => Math.max(0, behind())],
    ["etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes of keys and values put", () => counts.putBytes],
    ["etcd_debugging_auth_revision", "The revision of the auth store", () => auth.revision],
  ];
  const totals: Row[] = [
    ["etcd_mvcc_put_total", "Puts, outside of transactions", () => counts.puts],
    ["etcd_mvcc_delete_total", "Keys deleted, outside of transactions", () => counts.deletes],
    ["etcd_mvcc_txn_total", "Transactions that may write", () => counts.txns],
    ["etcd_mvcc_range_total", "Ranges, outside of transactions", () => counts.ranges],
    ["etcd_server_slow_read_indexes_total", "Questions for a read point that were put anew", () => member.reads.slow],
    ["etcd_server_read_indexes_failed_total", "Reads without a read point", () => member.reads.failed],
    ["etcd_server_heartbeat_send_failures_total", "A leader's heartbeats that were late", () => runner.lateHeartbeats],
    ["etcd_debugging_mvcc_events_total", "Events given to watchers", () => hub.delivered],
    ["etcd_debugging_lease_granted_total", "Leases granted", () => counts.leasesGranted],
    ["etcd_debugging_lease_revoked_total", "Leases revoked", () => counts.leasesRevoked],
    ["etcd_debugging_lease_renewed_total", "Renewals by this member as the leader", () => leases.renewed],
    ["etcd_debugging_server_lease_expired_total", "Leases that this member as the leader ended", () => leases.expired],
  ];
  for (const [name, help, value] of gauges) observe(Gauge, name, help, () => [[{}, value()]]);
  for (const [name, help, value] of totals) observe(Counter, name, help, () => [[{}, value()]]);
  const named: [name: string, help: string, label: string, value: () => string][] = [
    ["etcd_server_version", "The etcd that this member stands in for", "server_version", () => etcdVersion],
    ["etcd_server_id", "The member's id", "server_id", () => idText(member.id)],
    ["etcd_cluster_version", "The cluster's", "cluster_version", () => versionOf(applier.downgrade).slice(0, -2)],
  ];
  for (const [name, help, label, value] of named)
    observe(Gauge, name, help, () => [[{ [label]: value() }, 1]], [label]);
  const known = (): Rows => {
    const others = [...applier.members.keys()].filter((id) => id !== member.id);
    return others.map((id) => [{ Local: idText(member.id), Remote: idText(id) }, 1]);
  };
  observe(Gauge, "etcd_network_known_peers", "1 for each other member", known, ["Local", "Remote"]);
  const alarms = (): Rows =>
    applier.alarms.list().map(({ memberID, alarm }) => [{ server_id: idText(memberID), alarm_type: `${alarm}` }, 1]);
  const alarmLabels = ["server_id", "alarm_type"];
  observe(Gauge, "etcd_debugging_server_alarms", "Alarms that are raised, 1 each", alarms, alarmLabels);
  // As go-grpc-prometheus has them.
  const kinds: [name: string, help: string, count: (counts: CallCounts) => number][] = [
    ["grpc_server_started_total", "Calls begun", ({ started }) => started],
    ["grpc_server_msg_received_total", "Messages received", ({ received }) => received],
    ["grpc_server_msg_sent_total", "Messages sent", ({ sent }) => sent],
  ];
  const calls = () => [...observed.calls()].map(({ method, counts }) => ({ labels: labelsOf(method), counts }));
  for (const [name, help, count] of kinds)
    observe(Counter, name, help, () => calls().map(({ labels, counts }) => [labels, count(counts)]), callLabels);
  const handled = (): Rows =>
    calls().flatMap(({ labels, counts }) =>
      [...counts.handled].map(([code, count]) => [{ grpc_code: codeName(code), ...labels }, count] as const),
    );
  observe(Counter, "grpc_server_handled_total", "Calls ended, by their code", handled, [...callLabels, "grpc_code"]);
}

type Row = [name: string, help: string, value: () => number];
type Rows = Iterable<readonly [labels: Record<string, string>, value: number]>;

const callLabels = ["grpc_method", "grpc_service", "grpc_type"];
const callTypes = { unary: "unary", serverStream: "server_stream", clientStream: "client_stream", bidi: "bidi_stream" };

function labelsOf({ path, kind }: Method<unknown, unknown>): Record<string, string> {
  const [, grpc_service, grpc_method] = path.split("/") as [string, string, string];
  return { grpc_method, grpc_service, grpc_type: callTypes[kind] };
}
