import type { LeaderLoss, Position, RaftEvent } from "../raft/events.ts";
import type { MemberEvent } from "./history.ts";

/** An event as a sentence about the member whose it is. */
export function inWords(event: MemberEvent, nameOf: (id: bigint) => string): string {
  switch (event.kind) {
    case "Started":
      return `started with the state at entry ${event.applied}`;
    case "Stopping":
      return "is asked to stop";
    case "RoleChanged":
      return `was ${roleWords[event.from]}, is ${roleWords[event.to]} in term ${event.term}`;
    case "CampaignStarted":
      return campaignWords[event.campaign](event.term);
    case "VoteGranted":
      return `${event.pre ? "would vote" : "votes"} for ${nameOf(event.peer)} in term ${event.forTerm}`;
    case "VoteRefused":
      return `refuses ${nameOf(event.peer)} its ${event.pre ? "pre-vote" : "vote"} in term ${event.forTerm}: ${refusalWords(event, nameOf)}`;
    case "VoteReceived":
      return `${nameOf(event.peer)} ${event.granted ? "grants" : "refuses"} its ${event.pre ? "pre-vote" : "vote"}`;
    case "LeaderFound":
      return `${nameOf(event.peer)} leads in term ${event.term}`;
    case "LeaderLost":
      return `lost the leader ${nameOf(event.peer)}: ${lossWords(event.because, event.other, nameOf)}`;
    case "TransferStarted":
      return `hands over to ${nameOf(event.peer)}`;
    case "TransferAborted":
      return `gives up handing over to ${nameOf(event.peer)}: it did not take the lead within an election timeout`;
    case "PeerConnected":
      return `connected to ${nameOf(event.peer)}`;
    case "PeerLost":
      return `no connection to ${nameOf(event.peer)}: ${event.reason}`;
    case "ConfChanged":
      return `voters are ${event.voters.map(nameOf).join(", ")}${event.learners.length > 0 ? `; learners ${event.learners.map(nameOf).join(", ")}` : ""}`;
    case "ProposalsDropped":
      return `${event.count} ${event.count === 1 ? "proposal waits" : "proposals wait"}: no leader takes them`;
    case "ProposalsFailed":
      return `${event.count} ${event.count === 1 ? "proposal was" : "proposals were"} with the lost leader: unknown whether committed`;
    case "SlowFsync":
      return `the disk took ${event.seconds} s to make a write durable${others(event.count)}`;
    case "SlowApply":
      return `applying entries took ${event.seconds} s in one go${others(event.count)}`;
    case "SnapshotBegun":
      return `writes a snapshot at entry ${event.at}`;
    case "SnapshotSaved":
      return `saved the snapshot at entry ${event.at}: ${event.bytes} bytes in ${event.seconds} s`;
    case "SnapshotSending":
      return `sends ${nameOf(event.peer)} the state at entry ${event.at}: what it needs is no longer in the log`;
    case "SnapshotSent":
      return `${nameOf(event.peer)} has the state at entry ${event.at} after ${event.seconds} s`;
    case "SnapshotSendFailed":
      return `could not send ${nameOf(event.peer)} the state at entry ${event.at}: ${event.reason}`;
    case "SnapshotReceiving":
      return `receives the state at entry ${event.at} from ${nameOf(event.peer)}`;
    case "SnapshotReceived":
      return `received the state at entry ${event.at} from ${nameOf(event.peer)}: ${event.bytes} bytes`;
    case "SnapshotInstalled":
      return `put the state at entry ${event.at} in place of its own`;
    case "FaultsChanged":
      return event.faults.length === 0 ? "no faults any more" : `faults: ${event.faults.join("; ")}`;
  }
}

const roleWords = { follower: "follower", preCandidate: "pre-candidate", candidate: "candidate", leader: "leader" };

const campaignWords = {
  preElection: (term: number) => `asks whether it could win term ${term + 1}`,
  election: (term: number) => `asks for votes in term ${term}`,
  transfer: (term: number) => `asks for votes in term ${term}, at the leader's request`,
};

function refusalWords(event: RaftEvent & { kind: "VoteRefused" }, nameOf: (id: bigint) => string): string {
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

function lossWords(because: LeaderLoss, other: bigint, nameOf: (id: bigint) => string): string {
  switch (because) {
    case "electionTimeout":
      return "not heard for an election timeout";
    case "connectionLost":
      return "the connection to it broke and could not be made again";
    case "higherTerm":
      return `${nameOf(other)} is in a higher term`;
    case "transfer":
      return "it hands over to this member";
    case "quorumLost":
      return "it was itself, and did not hear a majority for an election timeout";
    case "handedOver":
      return `it was itself, and has handed over to ${nameOf(other)}`;
    case "removed":
      return "it was itself, and is no voter any more";
  }
}

const others = (count: number) => (count > 1 ? ` (the slowest of ${count})` : "");
