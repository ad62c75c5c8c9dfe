import { Counter, Gauge, Histogram, type Registry } from "../../base/metrics.ts";
import type { History } from "./history.ts";
import type { Member } from "./member.ts";
import { etcdVersion } from "./version.ts";

/** etcd's metrics, by etcd's names, where there is one for what we measure. */
export interface ServerMetrics {
  fsync: Histogram;
  leaderChanges: Counter;
  proposalsFailed: Counter;
  slowApplies: Counter;
  activePeers: Gauge;
  disconnectedPeers: Counter;
  snapshotSends: Counter;
  snapshotSendFailures: Counter;
  snapshotReceives: Counter;
  snapshotSeconds: Histogram;
}

export function createMetrics(registry: Registry): ServerMetrics {
  const registers = [registry];
  return {
    fsync: new Histogram({
      name: "etcd_disk_wal_fsync_duration_seconds",
      help: "From a write to the WAL until it is durable",
      buckets: Array.from({ length: 14 }, (_, i) => 0.001 * 2 ** i),
      registers,
    }),
    leaderChanges: new Counter({
      name: "etcd_server_leader_changes_seen_total",
      help: "Leaders this member has seen",
      registers,
    }),
    proposalsFailed: new Counter({
      name: "etcd_server_proposals_failed_total",
      help: "Proposals that failed",
      registers,
    }),
    slowApplies: new Counter({
      name: "etcd_server_slow_apply_total",
      help: "Runs of applying entries that took over 100 ms",
      registers,
    }),
    activePeers: new Gauge({
      name: "etcd_network_active_peers",
      help: "1 for a peer that is connected",
      labelNames: ["Local", "Remote"],
      registers,
    }),
    disconnectedPeers: new Counter({
      name: "etcd_network_disconnected_peers_total",
      help: "Connections to a peer that were lost and not made again at once",
      labelNames: ["Local", "Remote"],
      registers,
    }),
    snapshotSends: new Counter({
      name: "etcd_network_snapshot_send_success",
      help: "States sent to a follower",
      labelNames: ["To"],
      registers,
    }),
    snapshotSendFailures: new Counter({
      name: "etcd_network_snapshot_send_failures",
      help: "States that did not arrive",
      labelNames: ["To"],
      registers,
    }),
    snapshotReceives: new Counter({
      name: "etcd_network_snapshot_receive_success",
      help: "States received from a leader",
      labelNames: ["From"],
      registers,
    }),
    snapshotSeconds: new Histogram({
      name: "etcd_debugging_snap_save_total_duration_seconds",
      help: "From the beginning of a snapshot until the log before it is gone",
      buckets: Array.from({ length: 14 }, (_, i) => 0.001 * 2 ** i),
      registers,
    }),
  };
}

/** What can be counted as events is counted here. */
export function countEvents(history: History, metrics: ServerMetrics): void {
  history.follow(({ id: Local }, event) => {
    if (!("peer" in event) && event.kind !== "SnapshotSaved") return;
    if (event.kind === "SnapshotSaved") return metrics.snapshotSeconds.observe(event.seconds);
    const Remote = event.peer.toString(16);
    switch (event.kind) {
      case "PeerConnected":
        return metrics.activePeers.set({ Local, Remote }, 1);
      case "PeerLost":
        metrics.activePeers.set({ Local, Remote }, 0);
        return metrics.disconnectedPeers.inc({ Local, Remote });
      case "SnapshotSent":
        return metrics.snapshotSends.inc({ To: Remote });
      case "SnapshotSendFailed":
        return metrics.snapshotSendFailures.inc({ To: Remote });
      case "SnapshotReceived":
        return metrics.snapshotReceives.inc({ From: Remote });
    }
  });
}

/** What is read off the member when somebody asks. */
export function observeMember(registry: Registry, member: Member, watchers: () => number): void {
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value());
      },
    });
  const { store } = member.applier;
  gauge("etcd_server_has_leader", "1 if a leader is known", () => (member.leader === 0n ? 0 : 1));
  gauge("etcd_server_is_leader", "1 if this member leads", () => (member.isLeader ? 1 : 0));
  gauge("etcd_server_proposals_pending", "Proposals on their way", () => member.pendingCount);
  gauge("etcd_server_proposals_committed_total", "The commit index", () => member.runner.status().commit);
  gauge("etcd_server_proposals_applied_total", "The applied index", () => member.runner.status().applied);
  gauge("etcd_debugging_mvcc_keys_total", "Keys, deleted ones included until compaction", () => store.index.size);
  gauge("etcd_debugging_mvcc_current_revision", "The store's revision", () => store.revision);
  gauge("etcd_debugging_mvcc_compact_revision", "The last compacted revision", () => store.compactRevision);
  gauge("etcd_debugging_mvcc_watcher_total", "Watchers", watchers);
  gauge("etcd_mvcc_db_total_size_in_bytes", "Memory held for values", () => store.slabs.capacityBytes);
  gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of values", () => store.slabs.liveBytes);
  const constant = (name: string, help: string, labels: Record<string, string>) =>
    new Gauge({ name, help, labelNames: Object.keys(labels), registers: [registry] }).set(labels, 1);
  constant("etcd_server_version", "The etcd version this member stands in for", { server_version: etcdVersion });
  constant("etcd_server_id", "The member's id", { server_id: member.id.toString(16) });
}
