import type { Mode, Store } from "../lab/lab-file.ts";
import type { PresetName } from "../lab/presets.ts";
import type { ProcessStatus } from "./process-manager.ts";
import type { LeaderChange } from "./raft-events.ts";

/** `kubelab status --json`. Addresses are as reached from outside the lab, process ids too. */
export interface LabStatus {
  name: string;
  dir: string;
  slot: number;
  mode: Mode;
  modeReason: string;
  preset: PresetName;
  /** Null: our own members. */
  store: Store | null;
  /** Where it is not etcd's. */
  snapshotCount: number | undefined;
  kubeconfig: string;
  members: {
    name: string;
    pid: number | null;
    clientUrl: string;
    role: "leader" | "follower" | "learner" | "unreachable" | "stopped" | "down";
    term: number | null;
    commitIndex: number | null;
    /** As far as the supervisor has heard of it. */
    lastLeaderChange: LeaderChange | null;
    restarts: number;
  }[];
  apiservers: { name: string; url: string; grpcUrl: string; pid: number | null; restarts: number }[];
  /** controller-manager, scheduler, and the proxy that all nodes share in mode host. */
  components: ProcessStatus[];
  nodes: { name: string; address: string; mode: Mode; ready: boolean; processes: ProcessStatus[] }[];
}
