import { Counter, Gauge, Histogram, type Registry } from "../../base/metrics.ts";
import type { History } from "./history.ts";
import { Traffic } from "./traffic.ts";

/** etcd's metrics, by etcd's names, where there is one for what we measure; more are read off the member (`observed.ts`). */
export function createMetrics(registry: Registry) {
  const registers = [registry];
  const counter = (name: string, help: string, ...labelNames: string[]) =>
    new Counter({ name, help, labelNames, registers });
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name, help, labelNames, registers });
  /** Buckets from `first` on, each twice as large. */
  const histogram = (first: number, name: string, help: string, ...labelNames: string[]) =>
    new Histogram({ name, help, labelNames, registers, buckets: Array.from({ length: 15 }, (_, i) => first * 2 ** i) });
  const snapshots = "etcd_network_snapshot";
  return {
    fsync: histogram(0.001, "etcd_disk_wal_fsync_duration_seconds", "From a write to the WAL until it is durable"),
    leaderChanges: counter("etcd_server_leader_changes_seen_total", "Leaders this member has seen"),
    proposalsFailed: counter("etcd_server_proposals_failed_total", "Proposals that failed"),
    slowApplies: counter("etcd_server_slow_apply_total", "Runs of applying entries that took over 100 ms"),
    promotions: counter("etcd_server_learner_promote_successes", "Learners that became voters, asked of this leader"),
    healthSuccess: counter("etcd_server_health_success", "Health pages that found nothing wrong"),
    healthFailures: counter("etcd_server_health_failures", "Health pages that found something wrong"),
    activePeers: gauge("etcd_network_active_peers", "1 for a peer that is connected", "Local", "Remote"),
    disconnectedPeers: counter("etcd_network_disconnected_peers_total", "Connections lost", "Local", "Remote"),
    peerSendFailures: counter("etcd_network_peer_sent_failures_total", "Messages that could not leave", "To"),
    roundTrips: histogram(0.0001, "etcd_network_peer_round_trip_time_seconds", "To a peer and back", "To"),
    peerTraffic: new Traffic(
      registers,
      ["etcd_network_peer_sent_bytes_total", "Bytes sent to a peer", "To"],
      ["etcd_network_peer_received_bytes_total", "Bytes received from a peer", "From"],
    ),
    clientTraffic: new Traffic(
      registers,
      ["etcd_network_client_grpc_sent_bytes_total", "Bytes sent on clients' connections"],
      ["etcd_network_client_grpc_received_bytes_total", "Bytes received on clients' connections"],
    ),
    snapshotsSending: gauge(`${snapshots}_send_inflights_total`, "States on their way to a follower", "To"),
    snapshotSends: counter(`${snapshots}_send_success`, "States sent to a follower", "To"),
    snapshotSendFailures: counter(`${snapshots}_send_failures`, "States that did not arrive", "To"),
    snapshotSendSeconds: histogram(0.1, `${snapshots}_send_total_duration_seconds`, "Of those that arrived", "To"),
    snapshotReceives: counter(`${snapshots}_receive_success`, "States received from a leader", "From"),
    hashKV: histogram(0.01, "etcd_mvcc_hash_rev_duration_seconds", "HashKV, in slices between requests"),
    snapshotSeconds: histogram(0.001, "etcd_debugging_snap_save_total_duration_seconds", "Of a whole snapshot"),
  };
}

export type ServerMetrics = ReturnType<typeof createMetrics>;

/** What can be counted as events is counted here. */
export function countEvents(history: History, metrics: ServerMetrics): void {
  history.follow(({ id: Local }, event) => {
    const To = "peer" in event ? event.peer.toString(16) : "";
    switch (event.kind) {
      case "SnapshotSaved":
        return metrics.snapshotSeconds.observe(event.seconds);
      case "PeerConnected":
        return metrics.activePeers.set({ Local, Remote: To }, 1);
      case "PeerLost":
        metrics.activePeers.set({ Local, Remote: To }, 0);
        return metrics.disconnectedPeers.inc({ Local, Remote: To });
      case "SnapshotSending":
        return metrics.snapshotsSending.inc({ To });
      case "SnapshotSent":
        metrics.snapshotsSending.dec({ To });
        metrics.snapshotSendSeconds.observe({ To }, event.seconds);
        return metrics.snapshotSends.inc({ To });
      case "SnapshotSendFailed":
        metrics.snapshotsSending.dec({ To });
        return metrics.snapshotSendFailures.inc({ To });
      case "SnapshotReceived":
        return metrics.snapshotReceives.inc({ From: To });
    }
  });
}
