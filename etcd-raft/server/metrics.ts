import { Counter, Gauge, Histogram, type Registry } from "../../base/metrics.ts";
import type { History } from "./history.ts";

/** etcd's metrics, by etcd's names, where there is one for what we measure; more are read off the member (`observed.ts`). */
export interface ServerMetrics {
  fsync: Histogram;
  leaderChanges: Counter;
  proposalsFailed: Counter;
  slowApplies: Counter;
  healthSuccess: Counter;
  healthFailures: Counter;
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
    healthSuccess: new Counter({
      name: "etcd_server_health_success",
      help: "Health pages that found nothing wrong",
      registers,
    }),
    healthFailures: new Counter({
      name: "etcd_server_health_failures",
      help: "Health pages that found something wrong",
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
