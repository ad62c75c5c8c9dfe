import type { Recorder } from "./recorder.ts";
import type { SimMember } from "./sim-member.ts";
import type { SimNetwork } from "./sim-network.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** What the parts of one run share; of what is random each has its own. */
export interface World {
  clock: VirtualClock;
  recorder: Recorder;
  network: SimNetwork;
  members(): readonly SimMember[]; // those whose processes are to run, now
  note(event: string): void;
}
