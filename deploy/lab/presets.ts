/**
 * Timings of a lab (DESIGN decision 13). `lan` is for members and nodes a fraction of a millisecond apart; the other two
 * have Kubernetes' own node timings, with etcd's defaults or with what a wide-area network needs.
 */
export interface Preset {
  heartbeatMs: number;
  electionMs: number;
  /** A node renews its Lease every quarter of this, as the kubelet does. */
  nodeLeaseSeconds: number;
  nodeStatusUpdateSeconds: number;
  nodeMonitorPeriodMs: number;
  nodeMonitorGraceSeconds: number;
  /** For not-ready and unreachable, given to Pods that name none. */
  tolerationSeconds: number;
  /** Of controller-manager and scheduler: duration of the Lease, when to give up renewing, time between tries. */
  leaderElection: { leaseMs: number; renewDeadlineMs: number; retryMs: number };
}

const upstreamNodes = {
  nodeLeaseSeconds: 40,
  nodeStatusUpdateSeconds: 10,
  nodeMonitorPeriodMs: 5000,
  nodeMonitorGraceSeconds: 40,
  tolerationSeconds: 300,
  leaderElection: { leaseMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2000 },
};

export const presets = {
  lan: {
    heartbeatMs: 50,
    electionMs: 500,
    nodeLeaseSeconds: 4,
    nodeStatusUpdateSeconds: 1,
    nodeMonitorPeriodMs: 500,
    nodeMonitorGraceSeconds: 4,
    tolerationSeconds: 5,
    leaderElection: { leaseMs: 6000, renewDeadlineMs: 4000, retryMs: 500 },
  },
  "etcd-defaults": { heartbeatMs: 100, electionMs: 1000, ...upstreamNodes },
  wan: { heartbeatMs: 300, electionMs: 3000, ...upstreamNodes },
} as const satisfies Record<string, Preset>;

export type PresetName = keyof typeof presets;
export const presetNames = Object.keys(presets) as PresetName[];
