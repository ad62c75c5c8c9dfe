import { isQuorum } from "./quorum.ts";
import { type Raft, send } from "./state.ts";
import { type NodeId, none } from "./types.ts";

/**
 * Linearizable reads without a log entry (thesis §6.4). A read gets the commit index of its arrival, valid once a
 * quorum has answered a heartbeat sent after it: then no later leader existed when the read came. Every round of
 * heartbeats carries a counter of its own, so an answer to an earlier round never confirms a later read.
 *
 * A new leader does not know what is committed before an entry of its own term is (§8): reads wait for that.
 */
export interface Reads {
  waiting: Asked[]; // for an own-term entry to commit
  rounds: Round[]; // ascending counter
  counter: number; // of the last round; counts from 0 in each leadership, and answers of other terms are not heard
}

type Asked = { from: NodeId; context: Uint8Array };

interface Round extends Asked {
  counter: number;
  index: number;
  answered: Set<NodeId>;
}

export const createReads = (): Reads => ({ waiting: [], rounds: [], counter: 0 });

/** Takes a read on the leader. Returns whether a round of heartbeats with `currentContext` must go out. */
export function askRead(raft: Raft, asked: Asked, ownTermCommitted: boolean): boolean {
  if (!ownTermCommitted) {
    raft.reads.waiting.push(asked);
    return false;
  }
  const index = raft.log.committed;
  if (isQuorum(raft.groups, (id) => id === raft.id)) {
    answer(raft, asked, index);
    return false;
  }
  raft.reads.rounds.push({ ...asked, counter: ++raft.reads.counter, index, answered: new Set([raft.id]) });
  return true;
}

/** A member answered the heartbeats of round `counter`, and so confirms all earlier rounds too. */
export function onReadConfirmed(raft: Raft, from: NodeId, context: Uint8Array): void {
  const counter = decodeCounter(context);
  const { rounds } = raft.reads;
  let done = 0;
  for (const [i, round] of rounds.entries()) {
    if (round.counter > counter) break;
    round.answered.add(from);
    if (isQuorum(raft.groups, (id) => round.answered.has(id))) done = i + 1;
  }
  for (const round of rounds.splice(0, done)) answer(raft, round, round.index);
}

/** What heartbeats carry while reads are open: regular ones repeat it, which mends lost ones. */
export function currentContext(raft: Raft): Uint8Array {
  const last = raft.reads.rounds.at(-1);
  const bytes = new Uint8Array(last ? 8 : 0);
  if (last) new DataView(bytes.buffer).setBigUint64(0, BigInt(last.counter));
  return bytes;
}

/** The leadership ends: own reads are given back, those of others run into their deadline there. */
export function dropReads(raft: Raft): void {
  for (const { from, context } of [...raft.reads.waiting, ...raft.reads.rounds]) {
    if (from === raft.id) raft.ready.dropped.reads.push(context);
  }
  raft.reads = createReads();
}

function answer(raft: Raft, { from, context }: Asked, index: number): void {
  if (from === raft.id || from === none) raft.ready.readStates.push({ context, index });
  else send(raft, "ReadIndexResp", from, { index, context });
}

const decodeCounter = (bytes: Uint8Array): number =>
  bytes.length === 8 ? Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)) : 0;
