import { seededRand } from "../../../base/rand.ts";
import { type ConfChange, ConfChangeError, type ConfState, changed, confOf } from "../conf.ts";
import type { RaftEvent } from "../events.ts";
import { entriesOf, lastIndex } from "../log.ts";
import { createRaft, type Raft, type RaftConfig, step } from "../raft.ts";
import type { Entry, HardState, Input, Message, NodeId, Ready } from "../types.ts";
import { decodeConfChange, decodeMessage, encodeMessage } from "../wire.ts";
import { encodeConfChange } from "./encode-conf-change.ts";

/**
 * A cluster for scenario files (`testdata/*.txt`): nothing moves unless the script says so. Each command prints what
 * came of it: changes of role, messages (when delivered one by one), commits, answered reads, refusals.
 *
 *     start 1 2 3 [learner=N] [no-prevote] [no-checkquorum] [inflight=N] [inflight-bytes=N] [bytes=N] [quiet-commit]
 *     tick N [times]         timeout N              tick until it campaigns
 *     join N                 a new member: it knows only how the cluster began
 *     change N +4 ~5 -2 [implicit|explicit]    propose voters, learners and removals;  leave N    the joint configuration
 *     propose N word...      read N name            transfer N to       unreachable N lost
 *     deliver [N->M|N->*]    what is on the way now, printed; what it causes stays on the way
 *     stabilize [N...]       deliver until nothing moves (between these members)
 *     drop [N->M]            lose what is on the way
 *     cut N [M...]           no messages from or to N (or only to M);  one-way: cut-from N M;  heal
 *     slow-disk N, persist N, crash N, restart N, slow-apply N, apply N
 *     tell-commit N index    the moment after a commit has passed (without quiet-commit it passes at once)
 *     compact N index        forget the log up to there;  snapshot-failed N to: its Snap did not arrive
 *     status, log, progress N
 *     events N                 what it decided and why since the last time it was asked
 */
export class ScriptedCluster {
  readonly #members = new Map<NodeId, Member>();
  #network: Message[] = [];
  readonly #cut = new Set<string>();
  #config:
    | Pick<
        RaftConfig,
        "preVote" | "checkQuorum" | "maxInflightMessages" | "maxInflightBytes" | "maxSizePerMessage" | "packEntries"
      >
    | undefined;
  #quietCommit = false;
  #first = confOf([]); // of an empty log
  #out: string[] = [];

  run(command: string, args: string[]): string {
    this.#out = [];
    const id = BigInt(/^\d+$/.test(args[0] ?? "") ? args[0]! : 0);
    switch (command) {
      case "start":
        this.#start(args);
        break;
      case "join":
        this.#add(id);
        break;
      case "change":
        this.#step(id, { type: "ProposeConfChange", change: encodeConfChange(parseChange(args.slice(1))) });
        break;
      case "leave":
        this.#step(id, { type: "ProposeConfChange", change: encodeConfChange({ transition: "auto", changes: [] }) });
        break;
      case "tick":
        for (let i = 0; i < Number(args[1] ?? 1); i++) this.#step(id, { type: "Tick" });
        break;
      case "timeout":
        this.#timeout(id);
        break;
      case "propose":
        this.#step(id, { type: "Propose", data: args.slice(1).map((word) => new TextEncoder().encode(word)) });
        break;
      case "read":
        this.#step(id, { type: "ReadIndex", context: new TextEncoder().encode(args[1]) });
        break;
      case "transfer":
        this.#step(id, { type: "TransferLeader", to: BigInt(args[1]!) });
        break;
      case "unreachable":
        this.#step(id, { type: "Unreachable", id: BigInt(args[1]!) });
        break;
      case "deliver":
        for (const message of this.#take(args[0])) this.#deliver(message, true);
        break;
      case "stabilize":
        this.#stabilize(args);
        break;
      case "tell-commit":
        this.#step(id, { type: "TellCommit", index: Number(args[1]) });
        break;
      case "drop":
        for (const message of this.#take(args[0])) this.#out.push(`lost: ${describe(message)}`);
        break;
      case "compact":
        this.#compact(this.#member(id), Number(args[1]));
        break;
      case "snapshot-failed":
        this.#step(id, { type: "SnapshotSent", id: BigInt(args[1]!), index: undefined });
        break;
      case "cut":
        for (const other of args.length > 1 ? args.slice(1).map(BigInt) : this.#members.keys()) {
          this.#cut.add(`${id}->${other}`).add(`${other}->${id}`);
        }
        break;
      case "cut-from":
        this.#cut.add(`${id}->${args[1]}`);
        break;
      case "heal":
        this.#cut.clear();
        break;
      case "slow-disk":
        this.#member(id).slowDisk = true;
        break;
      case "persist":
        this.#persist(this.#member(id));
        break;
      case "slow-apply":
        this.#member(id).slowApply = true;
        break;
      case "apply":
        this.#member(id).slowApply = false;
        this.#apply(this.#member(id));
        break;
      case "crash":
        Object.assign(this.#member(id), { raft: undefined, writes: [], toApply: [] });
        break;
      case "restart":
        this.#boot(this.#member(id));
        break;
      case "status":
        for (const m of this.#members.values()) this.#out.push(describeStatus(m));
        break;
      case "log":
        for (const m of this.#members.values())
          this.#out.push(`${m.id}: ${m.raft ? entriesOf(m.raft.log).map(word).join(" ") : "down"}`);
        break;
      case "events":
        for (const event of this.#member(id).events.splice(0)) this.#out.push(describeEvent(event));
        break;
      case "progress":
        for (const p of this.#member(id).raft!.progress.values()) {
          if (p.id === id) this.#out.push(`${p.id}: match=${p.matchIndex}`);
          else
            this.#out.push(`${p.id}: ${p.state} match=${p.matchIndex} next=${p.nextIndex}${p.paused ? " paused" : ""}`);
        }
        break;
      default:
        throw new Error(`unknown command ${command}`);
    }
    return this.#out.length === 0 ? "ok" : this.#out.join("\n");
  }

  #start(args: string[]): void {
    const option = (name: string, otherwise: number) =>
      Number(args.find((arg) => arg.startsWith(`${name}=`))?.slice(name.length + 1) ?? otherwise);
    this.#config = {
      preVote: !args.includes("no-prevote"),
      checkQuorum: !args.includes("no-checkquorum"),
      maxInflightMessages: option("inflight", 512),
      maxInflightBytes: option("inflight-bytes", 2 ** 30),
      maxSizePerMessage: option("bytes", 1 << 20),
      packEntries: 1,
    };
    this.#quietCommit = args.includes("quiet-commit");
    const voters = args.filter((arg) => /^\d+$/.test(arg)).map(BigInt);
    const learners = args.filter((arg) => arg.startsWith("learner=")).map((arg) => BigInt(arg.slice(8)));
    this.#first = confOf(voters, learners);
    for (const id of [...voters, ...learners]) this.#add(id);
  }

  #add(id: NodeId): void {
    const member: Member = {
      id,
      raft: undefined,
      slowDisk: false,
      slowApply: false,
      writes: [],
      toApply: [],
      hardState: undefined,
      start: zero,
      entries: [],
      events: [],
      confs: [{ index: 0, conf: this.#first }],
    };
    this.#members.set(id, member);
    this.#boot(member);
  }

  #boot(member: Member): void {
    const { id, hardState, start, entries, confs } = member;
    member.slowDisk = false;
    member.slowApply = false;
    member.confs = confs.filter(({ index }) => index <= start.index);
    member.raft = createRaft({
      ...this.#config!,
      id,
      conf: member.confs.at(-1)!.conf,
      electionTicks: 10,
      heartbeatTicks: 1,
      rand: seededRand(Number(id)),
      hardState,
      start,
      entries: [...entries],
      applied: start.index,
    });
  }

  #member(id: NodeId): Member {
    const member = this.#members.get(id);
    if (member === undefined) throw new Error(`no member ${id}`);
    return member;
  }

  #timeout(id: NodeId): void {
    const { raft } = this.#member(id);
    for (let i = 0; i < 20; i++) {
      this.#step(id, { type: "Tick" });
      if (raft!.electionElapsed === 0) return;
    }
    throw new Error(`${id} does not campaign`);
  }

  #step(id: NodeId, input: Input): void {
    const member = this.#member(id);
    if (member.raft === undefined) throw new Error(`${id} is down`);
    const ready = step(member.raft, input);
    this.#report(member, ready);
    member.events.push(...(ready.events ?? []));
    this.#network.push(...ready.messages);
    member.writes.push(ready);
    if (!member.slowDisk) this.#persist(member);
    if (ready.snapshot !== undefined) {
      const { index, conf } = ready.snapshot;
      Object.assign(member, { toApply: [], confs: [{ index, conf }] });
      this.#step(id, { type: "Applied", index });
    }
    member.toApply.push(...ready.committedEntries);
    if (!member.slowApply) this.#apply(member);
    if (ready.commitNews > 0 && !this.#quietCommit) this.#step(id, { type: "TellCommit", index: ready.commitNews });
  }

  #apply(member: Member): void {
    while (member.toApply.length > 0) {
      const entries = member.toApply;
      const change = entries.findIndex(({ type }) => type !== 0);
      if (change === 0 && entries[0]!.index > member.hardState!.commit) return;
      const batch = entries.splice(0, change === -1 ? entries.length : Math.max(1, change));
      const conf = change === 0 ? this.#reconfigure(member, batch[0]!) : undefined;
      this.#step(member.id, { type: "Applied", index: batch.at(-1)!.index, conf });
    }
  }

  #reconfigure(member: Member, entry: Entry): ConfState | undefined {
    try {
      const conf = changed(member.confs.at(-1)!.conf, decodeConfChange(entry));
      member.confs.push({ index: entry.index, conf });
      this.#out.push(`${member.id} goes by ${describeConf(conf)}`);
      return conf;
    } catch (error) {
      if (!(error instanceof ConfChangeError)) throw error;
      this.#out.push(`${member.id} changes nothing: ${error.message}`);
      return undefined;
    }
  }

  /** As if a snapshot of the state were on disk. */
  #compact(member: Member, index: number): void {
    const { start, entries } = member;
    member.start = { index, term: entries[index - start.index - 1]!.term };
    member.entries = entries.slice(index - start.index);
    this.#step(member.id, { type: "Compact", index });
  }

  #report(member: Member, ready: Ready): void {
    const { id } = member;
    if (ready.softState !== undefined) {
      const { role, term, leader } = ready.softState;
      this.#out.push(`${id} is ${role} at term ${term}${role === "follower" && leader ? ` of ${leader}` : ""}`);
    }
    if (ready.snapshot !== undefined)
      this.#out.push(`${id} takes the snapshot at ${ready.snapshot.index}/${ready.snapshot.term}`);
    for (const data of ready.dropped.proposals) this.#out.push(`${id} refuses ${text(data)}`);
    for (const change of ready.dropped.confChanges) this.#out.push(`${id} refuses ${describeChange(change)}`);
    for (const context of ready.dropped.reads) this.#out.push(`${id} refuses read ${text(context)}`);
    if (ready.committedEntries.length > 0)
      this.#out.push(`${id} commits ${ready.committedEntries.map(word).join(" ")}`);
    for (const { context, index } of ready.readStates) this.#out.push(`${id} may read ${text(context)} at ${index}`);
  }

  #persist(member: Member): void {
    for (const { snapshot, hardState, entries, messagesAfterPersist } of member.writes.splice(0)) {
      if (snapshot !== undefined) {
        member.start = snapshot;
        member.entries = [];
      }
      if (hardState !== undefined) member.hardState = hardState;
      const first = entries[0];
      if (first !== undefined)
        member.entries = [...member.entries.slice(0, first.index - member.start.index - 1), ...entries];
      this.#network.push(...messagesAfterPersist);
      const last = entries.at(-1);
      if (last !== undefined) this.#step(member.id, { type: "Persisted", index: last.index, term: last.term });
    }
    if (!member.slowApply) this.#apply(member);
  }

  /** Takes messages off the network: all, or those of one link ("1->2", "1->*"). Cut links lose theirs silently. */
  #take(link?: string): Message[] {
    const on = (m: Message) => link === undefined || link === `${m.from}->${m.to}` || link === `${m.from}->*`;
    const taken = this.#network.filter((m) => on(m) && !this.#cut.has(`${m.from}->${m.to}`));
    this.#network = this.#network.filter((m) => !on(m) && !this.#cut.has(`${m.from}->${m.to}`));
    return taken;
  }

  #stabilize(args: string[]): void {
    const among = (m: Message) => args.length === 0 || (args.includes(`${m.from}`) && args.includes(`${m.to}`));
    for (let round = 0; round < 100 && this.#network.some(among); round++) {
      const taken = this.#take();
      this.#network.push(...taken.filter((m) => !among(m)));
      for (const message of taken.filter(among)) this.#deliver(message, false);
    }
  }

  #deliver(message: Message, aloud: boolean): void {
    if (aloud) this.#out.push(describe(message));
    if (this.#members.get(message.to)?.raft === undefined) return;
    this.#step(message.to, { type: "Message", message: decodeMessage(encodeMessage(message)) });
    if (message.type === "Snap" && this.#member(message.from).raft !== undefined)
      this.#step(message.from, { type: "SnapshotSent", id: message.to, index: message.index });
  }
}

interface Member {
  id: NodeId;
  raft: Raft | undefined; // undefined: down
  slowDisk: boolean;
  slowApply: boolean;
  writes: Ready[];
  toApply: Entry[];
  hardState: HardState | undefined;
  start: { index: number; term: number };
  entries: Entry[];
  events: RaftEvent[];
  confs: { index: number; conf: ConfState }[]; // which entries made them; the first is that of `start`
}

const zero = { index: 0, term: 0 };

const signs = { AddVoter: "+", AddLearner: "~", Remove: "-", Update: "=" } as const;

function parseChange(words: string[]): ConfChange {
  const transition = words.find((word) => word === "implicit" || word === "explicit") ?? "auto";
  const changes = words.flatMap((word) => {
    const type = (Object.keys(signs) as (keyof typeof signs)[]).find((name) => signs[name] === word[0]);
    return type === undefined ? [] : [{ type, id: BigInt(word.slice(1)) }];
  });
  return { transition, changes };
}

function describeChange(change: Pick<Entry, "type" | "data">): string {
  const { transition, changes } = decodeConfChange(change);
  const words = changes.map(({ type, id }) => `${signs[type]}${id}`);
  return words.length === 0 ? "leave" : [...words, ...(transition === "auto" ? [] : [transition])].join(",");
}

/** "voters 1 2 3, outgoing 1 2, learners 4, learners next 3" */
function describeConf({ voters, votersOutgoing, learners, learnersNext, autoLeave }: ConfState): string {
  const parts = Object.entries({ voters, outgoing: votersOutgoing, learners, "learners next": learnersNext });
  const text = parts.flatMap(([name, ids]) => (ids.length > 0 ? [`${name} ${ids.join(" ")}`] : [])).join(", ");
  return votersOutgoing.length > 0 && !autoLeave ? `${text}, until told to leave` : text;
}

/** "3/2:x" is the entry with index 3, term 2 and data x; "3/2" one without data. */
function word({ index, term, data, type }: Entry): string {
  if (type !== 0) return `${index}/${term}:${describeChange({ type, data })}`;
  return data.length === 0 ? `${index}/${term}` : `${index}/${term}:${text(data)}`;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function describe(m: Message): string {
  const parts = [`${m.from}->${m.to} ${m.type}`];
  if (m.term > 0) parts.push(`term=${m.term}`);
  const answersIndex = m.type === "AppResp" || m.type === "ReadIndexResp";
  if (m.type === "App" || m.type === "Vote" || m.type === "PreVote" || m.type === "Snap")
    parts.push(`at=${m.index}/${m.logTerm}`);
  else if (answersIndex) parts.push(`index=${m.index}`);
  if (m.entries.length > 0)
    parts.push(
      `[${m.entries.map((e) => (e.term > 0 ? word(e) : e.type === 0 ? text(e.data) : describeChange(e))).join(" ")}]`,
    );
  if (m.type === "App" || m.type === "Heartbeat") parts.push(`commit=${m.commit}`);
  if (m.reject) parts.push(m.type === "AppResp" ? `rejected hint=${m.rejectHint}/${m.logTerm}` : "rejected");
  else if (m.type === "VoteResp" || m.type === "PreVoteResp") parts.push("granted");
  return parts.join(" ");
}

function describeEvent({ kind, term, index, ...fields }: RaftEvent): string {
  const show = (value: unknown): string =>
    typeof value === "object"
      ? Object.values(value as object)
          .reverse()
          .join("/")
      : String(value);
  const rest = Object.entries(fields).map(([name, value]) => `${name}=${show(value)}`);
  return [kind, `term=${term}`, `index=${index}`, ...rest].join(" ");
}

function describeStatus({ id, raft }: Member): string {
  if (raft === undefined) return `${id}: down`;
  const { role, term, leader, log } = raft;
  return `${id}: ${role} term=${term} leader=${leader || "none"} commit=${log.committed} last=${lastIndex(log)}`;
}
