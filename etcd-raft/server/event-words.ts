import type { LeaderLoss, Position, RaftEvent } from "../raft/events.ts";
import type { MemberEvent } from "./history.ts";

/** An event as a sentence about the member whose it is. */
export const inWords = (event: MemberEvent, nameOf: NameOf): string =>
  (words[event.kind] as (event: MemberEvent, nameOf: NameOf) => string)(event, nameOf);

type NameOf = (id: bigint) => string;
type Kind = MemberEvent["kind"];

const words: { [K in Kind]: (event: Extract<MemberEvent, { kind: K }>, nameOf: NameOf) => string } = {
  Started: ({ applied }) => `started with the state at entry ${applied}`,
  Stopping: () => "is asked to stop",
  RoleChanged: ({ from, term, to }) => `was ${roleWords[from]}, is ${roleWords[to]} in term ${term}`,
  CampaignStarted: ({ campaign, term }) => campaignWords[campaign](term),
  VoteGranted: ({ forTerm, peer, pre }, nameOf) =>
    `${pre ? "would vote" : "votes"} for ${nameOf(peer)} in term ${forTerm}`,
  VoteRefused: (event, nameOf) =>
    `refuses ${nameOf(event.peer)} its ${event.pre ? "pre-vote" : "vote"} in term ${event.forTerm}: ${refusalWords(event, nameOf)}`,
  VoteReceived: ({ granted, peer, pre }, nameOf) =>
    `${nameOf(peer)} ${granted ? "grants" : "refuses"} its ${pre ? "pre-vote" : "vote"}`,
  LeaderFound: ({ peer, term }, nameOf) => `${nameOf(peer)} leads in term ${term}`,
  LeaderLost: ({ because, other, peer }, nameOf) =>
    `lost the leader ${nameOf(peer)}: ${lossWords[because](nameOf(other))}`,
  TransferStarted: ({ peer }, nameOf) => `hands over to ${nameOf(peer)}`,
  TransferAborted: ({ peer }, nameOf) =>
    `gives up handing over to ${nameOf(peer)}: it did not take the lead within an election timeout`,
  PeerConnected: ({ peer }, nameOf) => `connected to ${nameOf(peer)}`,
  PeerLost: ({ peer, reason }, nameOf) => `no connection to ${nameOf(peer)}: ${reason}`,
  ConfChanged: ({ learners, voters }, nameOf) =>
    `voters are ${voters.map(nameOf).join(", ")}${learners.length > 0 ? `; learners ${learners.map(nameOf).join(", ")}` : ""}`,
  ProposalsDropped: ({ count }) =>
    `${count} ${count === 1 ? "proposal waits" : "proposals wait"}: no leader takes them`,
  ProposalsFailed: ({ count }) =>
    `${count} ${count === 1 ? "proposal was" : "proposals were"} with the lost leader: unknown whether committed`,
  SlowFsync: ({ count, seconds }) => `the disk took ${seconds} s to make a write durable${others(count)}`,
  SlowApply: ({ count, seconds }) => `applying entries took ${seconds} s in one go${others(count)}`,
  SnapshotBegun: ({ at }) => `writes a snapshot at entry ${at}`,
  SnapshotSaved: ({ at, bytes, seconds }) => `saved the snapshot at entry ${at}: ${bytes} bytes in ${seconds} s`,
  SnapshotSending: ({ at, peer }, nameOf) =>
    `sends ${nameOf(peer)} the state at entry ${at}: what it needs is no longer in the log`,
  SnapshotSent: ({ at, peer, seconds }, nameOf) => `${nameOf(peer)} has the state at entry ${at} after ${seconds} s`,
  SnapshotSendFailed: ({ at, peer, reason }, nameOf) =>
    `could not send ${nameOf(peer)} the state at entry ${at}: ${reason}`,
  SnapshotReceiving: ({ at, peer }, nameOf) => `receives the state at entry ${at} from ${nameOf(peer)}`,
  SnapshotReceived: ({ at, bytes, peer }, nameOf) =>
    `received the state at entry ${at} from ${nameOf(peer)}: ${bytes} bytes`,
  SnapshotInstalled: ({ at }) => `put the state at entry ${at} in place of its own`,
  DataDiffers: ({ peer, reason }, nameOf) =>
    `${peer === 0n ? "some member holds" : `${nameOf(peer)} holds`} other data than the rest: ${reason}`,
  FaultsChanged: ({ faults }) => (faults.length === 0 ? "no faults any more" : `faults: ${faults.join("; ")}`),
};

const roleWords = { follower: "follower", preCandidate: "pre-candidate", candidate: "candidate", leader: "leader" };

const campaignWords = {
  preElection: (term: number) => `asks whether it could win term ${term + 1}`,
  election: (term: number) => `asks for votes in term ${term}`,
  transfer: (term: number) => `asks for votes in term ${term}, at the leader's request`,
};

function refusalWords(event: RaftEvent & { kind: "VoteRefused" }, nameOf: NameOf): string {
  const at = ({ term, index }: Position) => `entry ${index} of term ${term}`;
  switch (event.because) {
    case "logBehind":
      return `its log ends with ${at(event.theirs)}, ours with ${at(event.ours)}`;
    case "alreadyVoted":
      return `already voted for ${nameOf(event.votedFor)} in this term`;
    case "leaderKnown":
      return `${nameOf(event.leader)} leads in this term`;
    case "leaderLease":
      return `the leader ${nameOf(event.leader)} was heard within the election timeout`;
    case "oldTerm":
      return `this member is in term ${event.term} already`;
  }
}

const lossWords: Record<LeaderLoss, (other: string) => string> = {
  electionTimeout: () => "not heard for an election timeout",
  connectionLost: () => "the connection to it broke and could not be made again",
  higherTerm: (other) => `${other} is in a higher term`,
  transfer: () => "it hands over to this member",
  quorumLost: () => "it was itself, and did not hear a majority for an election timeout",
  handedOver: (other) => `it was itself, and has handed over to ${other}`,
  removed: () => "it was itself, and is no voter any more",
};

const others = (count: number) => (count > 1 ? ` (the slowest of ${count})` : "");
