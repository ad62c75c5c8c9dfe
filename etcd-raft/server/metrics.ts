import { Counter, Gauge, Histogram, type Registry } from "../../base/metrics.ts";
import type { History } from "./history.ts";

/** etcd's metrics, by etcd's names, where there is one for what we measure; more are read off the member (`observed.ts`). */
export function createMetrics(registry: Registry) {
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name, help, labelNames, registers });
  const buckets = Array.from({ length: 14 }, (_, i) => 0.001 * 2 ** i);
  const seconds = (name: string, help: string) => new Histogram({ name, help, buckets, registers });
  const peers = ["Local", "Remote"];
  return {
    fsync: seconds("etcd_disk_wal_fsync_duration_seconds", "From a write to the WAL until it is durable"),
    leaderChanges: counter("etcd_server_leader_changes_seen_total", "Leaders this member has seen"),
    proposalsFailed: counter("etcd_server_proposals_failed_total", "Proposals that failed"),
    slowApplies: counter("etcd_server_slow_apply_total", "Runs of applying entries that took over 100 ms"),
    healthSuccess: counter("etcd_server_health_success", "Health pages that found nothing wrong"),
    healthFailures: counter("etcd_server_health_failures", "Health pages that found something wrong"),
    activePeers: new Gauge({
      name: "etcd_network_active_peers",
      help: "1 for a peer that is connected",
      labelNames: peers,
      registers,
    }),
    disconnectedPeers: counter(
      "etcd_network_disconnected_peers_total",
      "Connections to a peer that were lost and not made again at once",
      peers,
    ),
    snapshotSends: counter("etcd_network_snapshot_send_success", "States sent to a follower", ["To"]),
    snapshotSendFailures: counter("etcd_network_snapshot_send_failures", "States that did not arrive", ["To"]),
    snapshotReceives: counter("etcd_network_snapshot_receive_success", "States received from a leader", ["From"]),
    hashKV: seconds("etcd_mvcc_hash_rev_duration_seconds", "HashKV, in slices between requests"),
    snapshotSeconds: seconds(
      "etcd_debugging_snap_save_total_duration_seconds",
      "From the beginning of a snapshot until the log before it is gone",
    ),
  };
}

export type ServerMetrics = ReturnType<typeof createMetrics>;

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
