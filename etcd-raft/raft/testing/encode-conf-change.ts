import * as raftpb from "../../../proto/generated/raftpb.ts";
import type { ConfChange } from "../conf.ts";
import type { ProposedConfChange } from "../types.ts";
import { changeTypes, transitions } from "../wire.ts";

/** As a ConfChangeV2; the one that leaves a joint configuration has no bytes. */
export function encodeConfChange({ transition, changes }: ConfChange): ProposedConfChange {
  if (transition === "auto" && changes.length === 0) return { type: 2, data: new Uint8Array(0) };
  const data = raftpb.ConfChangeV2.encode({
    transition: transitions.indexOf(transition),
    changes: changes.map(({ type, id }) => ({ type: changeTypes.indexOf(type), nodeId: id })),
  });
  return { type: 2, data };
}
