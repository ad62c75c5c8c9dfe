import type { Rand } from "../../base/rand.ts";
import { type ConfState, groupsOf, isVoter } from "./conf.ts";
import type { Log } from "./log.ts";
import type { Progress } from "./progress.ts";
import type { Reads } from "./read-index.ts";
import type { Entry, HardState, Message, NodeId, Ready, Role } from "./types.ts";

export interface RaftConfig {
  id: NodeId;
  conf: ConfState; // who takes part, as of `applied`
  electionTicks: number;
  heartbeatTicks: number;
  rand: Rand;
  hardState: HardState | undefined; // from the WAL; undefined at the first start
  /** The entry after which the log goes on: what a snapshot covers is not there. Default: the beginning. */
  start?: { index: number; term: number };
  entries: Entry[]; // from the WAL: the log after `start`
  applied: number; // what the state machine holds already; delivery goes on after it
  preVote: boolean;
  checkQuorum: boolean;
  maxSizePerMessage: number; // bytes of entry data in one App
  maxInflightMessages: number; // Apps on the way to one follower
  maxInflightBytes: number; // of entry data in them
  packEntries?: number; // applied entries that are packed together; 512 unless said otherwise
}

/** One member's raft state (Figure 2). Only the functions of this folder write it; others look. */
export interface Raft {
  readonly config: RaftConfig;
  readonly id: NodeId;
  role: Role;
  term: number;
  vote: NodeId; // in `term`; durable before any vote is answered
  leader: NodeId; // of `term`, or none
  readonly log: Log;
  conf: ConfState; // what the applied entries made of it
  groups: NodeId[][]; // of `conf`: a majority of each decides
  voter: boolean; // do we elect and lead, in `conf`?
  electionElapsed: number; // ticks since a leader was heard, a vote granted, or (leader) the quorum checked
  heartbeatElapsed: number;
  electionTimeout: number; // in [electionTicks, 2 * electionTicks), redrawn at each change of role (§5.2)
  retries: number; // campaigns after a refusal, soon instead of a timeout later, since the leader was lost
  votes: Map<NodeId, boolean>; // candidates: the answers so far
  progress: Map<NodeId, Progress>; // leader: everybody in `conf`, itself included unless it was removed
  counted: Progress[][]; // leader: those of `groups`
  pendingConfIndex: number; // leader: no change of configuration is taken before this index is applied
  transferee: NodeId; // leader: whom it hands over to, or none
  reads: Reads;
  ready: Ready; // of the step that runs
  told: { hardState: HardState; role: Role; leader: NodeId; term: number };
}

const nothing: Uint8Array = new Uint8Array(0);

export function createReady(): Ready {
  return {
    snapshot: undefined,
    hardState: undefined,
    mustSync: false,
    entries: [],
    messages: [],
    messagesAfterPersist: [],
    committedEntries: [],
    readStates: [],
    commitNews: 0,
    dropped: { proposals: [], confChanges: [], reads: [] },
    softState: undefined,
    events: undefined,
  };
}

/** Elections follow `conf` at once; what a leader counts follows in `reconfigure.ts`. */
export function setConf(raft: Raft, conf: ConfState): void {
  raft.conf = conf;
  raft.groups = groupsOf(conf);
  raft.voter = isVoter(conf, raft.id);
}

/** Field by field: of one shape, so that encoding it stays quick. */
function message(raft: Raft, type: Message["type"], to: NodeId, fields: Partial<Message>): Message {
  return {
    type,
    from: raft.id,
    to,
    term: fields.term ?? raft.term,
    index: fields.index ?? 0,
    logTerm: fields.logTerm ?? 0,
    entries: fields.entries ?? [],
    commit: fields.commit ?? 0,
    reject: fields.reject ?? false,
    rejectHint: fields.rejectHint ?? 0,
    context: fields.context ?? nothing,
    conf: fields.conf,
  };
}

/** For messages that promise nothing about our disk. */
export function send(raft: Raft, type: Message["type"], to: NodeId, fields: Partial<Message> = {}): void {
  raft.ready.messages.push(message(raft, type, to, fields));
}

/** For promises: a vote, a request that claims a log, an acknowledged append. */
export function sendAfterPersist(raft: Raft, type: Message["type"], to: NodeId, fields: Partial<Message> = {}): void {
  raft.ready.messagesAfterPersist.push(message(raft, type, to, fields));
}
