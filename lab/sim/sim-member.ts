import type { Clock } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import { confOf } from "../../etcd-raft/raft/conf.ts";
import { createRaft, type Raft } from "../../etcd-raft/raft/raft.ts";
import { type Entry, type HardState, type Message, type NodeId, none } from "../../etcd-raft/raft/types.ts";
import { Runner } from "../../etcd-raft/server/runner.ts";
import { createWal, openWal, type Wal, walExists } from "../../etcd-raft/wal/wal.ts";
import type { SimDisk } from "./sim-disk.ts";

/** Errors built in on purpose, to see that the checkers find them. */
export type PlantedFault =
  | "forgotten vote"
  | "forgetful disk"
  | "early acknowledgement"
  | "stale read"
  | "double apply"
  | "racing snapshot";

export interface MemberOptions {
  id: NodeId;
  voters: readonly NodeId[];
  clock: Clock;
  rand: Rand;
  disk: SimDisk;
  segmentBytes: number;
  clockRate: number; // its ticks take so many times as long
  preVote: boolean; // with CheckQuorum
  planted: PlantedFault | undefined;
  send(message: Message): void;
  watch: {
    /** `snapshot`: what it has instead of the entries up to there. */
    restarts(id: NodeId, repaired: boolean, snapshot: Snapshot | undefined): void;
    installs(id: NodeId, snapshot: Snapshot): void;
    leads(id: NodeId, term: number, log: readonly Entry[], start: number): void;
    applies(id: NodeId, entry: Entry, term: number): void;
    /** It met an error that the program does not survive. */
    dies(id: NodeId, error: Error): void;
  };
}

/** How an attempt ended: with an answer, surely without effect, or who knows. */
export type Outcome = { type: "answered"; value: string | undefined } | { type: "refused" } | { type: "lost" };

/**
 * One member: the real raft core, runner and WAL, over a simulated disk and network, with a map of strings as state
 * machine, of which it takes snapshots all the time (the order on disk is that of `etcd-raft/server/snapshots.ts`). A crash may come between any two events; what the member then had under way is never heard of again.
 */
export class SimMember {
  readonly id: NodeId;
  readonly disk: SimDisk;
  readonly #options: MemberOptions;
  #life: Life | undefined;
  #lives = 0;

  constructor(options: MemberOptions) {
    this.id = options.id;
    this.disk = options.disk;
    this.#options = options;
  }

  get up(): boolean {
    return this.#life !== undefined;
  }

  get raft(): Raft | undefined {
    return this.#life?.raft;
  }

  start(): void {
    if (this.#life !== undefined) return;
    const life = new Life(this.#options, `${this.id} in life ${++this.#lives}`, (error) => {
      if (this.#life !== life) return;
      this.crash();
      this.#options.watch.dies(this.id, error);
    });
    this.#life = life;
  }

  crash(): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#life = undefined;
    this.disk.crash();
    life.end();
  }

  /** A stalled process gets nothing done; what was sent to it waits, and comes in any order (its sockets are many). */
  stall(on: boolean): void {
    this.#life?.stall(on);
  }

  receive(message: Message): void {
    this.#life?.receive({ type: "Message", message });
  }

  unreachable(id: NodeId): void {
    this.#life?.receive({ type: "Unreachable", id });
  }

  transfer(to: NodeId): void {
    this.#life?.receive({ type: "TransferLeader", to });
  }

  write(id: string, key: string, value: string, done: (outcome: Outcome) => void): void {
    if (this.#life === undefined) done({ type: "refused" });
    else this.#life.write(id, key, value, done);
  }

  read(key: string, done: (outcome: Outcome) => void): void {
    if (this.#life === undefined) done({ type: "refused" });
    else this.#life.read(key, done);
  }
}

type RunnerInput = Parameters<Runner["input"]>[0];

class Life {
  raft: Raft | undefined;
  readonly #options: MemberOptions;
  readonly #die: (error: Error) => void;
  #state = new Map<string, string>();
  #wal: Wal | undefined;
  #snapshotAt = 0;
  #writing: Promise<void> | undefined; // one thing at a time happens to `db`
  readonly #writes = new Map<string, (outcome: Outcome) => void>();
  readonly #reads = new Map<string, { key: string; done: (outcome: Outcome) => void }>();
  #confirmed: { index: number; key: string; done: (outcome: Outcome) => void }[] = [];
  #runner: Runner | undefined;
  #alive = true;
  #stalled = false;
  #inbox: (() => void)[] = [];
  #applied = 0;
  #appliedTerm = 0;
  #counter = 0;
  readonly #name: string; // of this life: an answer to a read of an earlier one must not be taken for ours

  constructor(options: MemberOptions, name: string, die: (error: Error) => void) {
    this.#options = options;
    this.#name = name;
    this.#die = die;
    this.#boot().catch(die);
  }

  end(): void {
    this.#alive = false;
    this.#runner?.stop();
    for (const done of this.#writes.values()) done({ type: "lost" });
    for (const { done } of [...this.#reads.values(), ...this.#confirmed]) done({ type: "lost" });
  }

  stall(on: boolean): void {
    this.#stalled = on;
    while (!this.#stalled && this.#alive && this.#inbox.length > 0) {
      const [arrival] = this.#inbox.splice(this.#options.rand.below(this.#inbox.length), 1);
      arrival!();
    }
  }

  receive(input: RunnerInput): void {
    this.#arrives(() => {
      if (input.type === "Message" && input.message.type === "Snap") void this.#receive(input.message).catch(this.#die);
      else this.#runner?.input(input);
    });
  }

  write(id: string, key: string, value: string, done: (outcome: Outcome) => void): void {
    this.#arrives(() => {
      if (this.#runner === undefined) return done({ type: "refused" });
      if (this.#options.planted === "early acknowledgement") done({ type: "answered", value });
      else this.#writes.set(id, done);
      this.#runner.propose(encodeCommand({ id, key, value }));
    });
  }

  read(key: string, done: (outcome: Outcome) => void): void {
    this.#arrives(() => {
      if (this.#runner === undefined) return done({ type: "refused" });
      if (this.#options.planted === "stale read") return done({ type: "answered", value: this.#state.get(key) });
      const id = `${this.#name} ${++this.#counter}`;
      this.#reads.set(id, { key, done });
      this.#runner.input({ type: "ReadIndex", context: new TextEncoder().encode(id) });
    });
  }

  #arrives(arrival: () => void): void {
    if (this.#stalled) this.#inbox.push(arrival);
    else this.#guard(arrival);
  }

  async #boot(): Promise<void> {
    const { id, voters, clock, rand, segmentBytes, planted, preVote, watch } = this.#options;
    const view = this.#view();
    const dir = "/member/wal";
    await view.makeDir("/member");
    await view.syncDir("/");
    let wal: Wal;
    let hardState: HardState | undefined;
    let entries: Entry[] = [];
    let snapshot: Snapshot | undefined;
    let start = { index: 0, term: 0 };
    let repaired = false;
    if (await walExists(dir, view)) {
      const opened = await openWal(dir, view, segmentBytes);
      ({ wal, hardState, entries } = opened);
      repaired = opened.repaired !== undefined;
      ({ snapshot, start } = await this.#openSnapshot(opened.snapshots));
      entries = entries.filter(({ index }) => index > start.index);
      if (snapshot)
        hardState = {
          term: snapshot.term,
          vote: none,
          ...hardState,
          commit: Math.max(hardState?.commit ?? 0, snapshot.index),
        };
      if (planted === "forgotten vote" && hardState !== undefined) hardState = { ...hardState, vote: none };
    } else {
      wal = await createWal(dir, { nodeId: id, clusterId: 1n }, view, segmentBytes);
    }
    this.#wal = wal;
    if (snapshot) this.#adopt(snapshot);
    watch.restarts(id, repaired, snapshot);
    this.raft = createRaft({
      id,
      conf: confOf(voters),
      electionTicks: 10,
      heartbeatTicks: 1,
      rand,
      hardState,
      start,
      entries,
      applied: snapshot?.index ?? 0,
      preVote,
      checkQuorum: preVote,
      maxSizePerMessage: 200,
      maxInflightMessages: 4,
    });
    const tickMs = 20;
    this.#runner = new Runner({
      raft: this.raft,
      wal,
      clock: this.#stallable(clock),
      tickMs,
      send: (messages) => {
        for (const message of messages)
          this.#options.send(message.type === "Snap" ? this.#withState(message) : message);
      },
      apply: (entry) => {
        this.#apply(entry);
        return undefined;
      },
      applied: (index) => {
        this.#answerReads(index);
        if (index - this.#snapshotAt >= snapshotEvery && !this.#writing) this.#inTurn(this.#take());
      },
      install: (at) => ({ saved: wal.saveSnapshot(at), put: () => this.#install(at) }),
      onSoftState: ({ role, term }) => {
        if (role === "leader") watch.leads(id, term, this.raft!.log.entries, this.raft!.log.start.index);
      },
      onDropped: ({ proposals, reads }) => this.#refuse(proposals, reads),
      onReadState: (context, index) => this.#confirm(new TextDecoder().decode(context), index),
      onFsync: () => {},
      onFatal: (error) => this.#die(error),
    });
    this.#runner.start();
  }

  #view() {
    return this.#options.disk.view(() => this.#alive);
  }

  #inTurn(work: Promise<void>): void {
    const running = work.catch((error: Error) => {
      if (this.#alive) this.#die(error);
    });
    this.#writing = running;
    void running.then(() => {
      if (this.#writing === running) this.#writing = undefined;
    });
  }

  async #take(): Promise<void> {
    const { index, term } = { index: this.#applied, term: this.#appliedTerm };
    this.#snapshotAt = index;
    let bytes = encodeSnapshot({ index, term, state: [...this.#state] });
    await this.#wal!.save(undefined, []);
    if (this.#options.planted === "racing snapshot") {
      await new Promise<void>((resolve) => void this.#options.clock.after(20, resolve));
      bytes = encodeSnapshot({ index, term, state: [...this.#state] });
    }
    await this.#writeFile("db", bytes);
    await this.#wal!.saveSnapshot({ index, term });
    this.#runner!.input({ type: "Compact", index: Math.max(0, index - this.#options.rand.below(10)) });
    await this.#wal!.release(index);
  }

  /** The way of the state may fail; if it does, nobody says so, and the leader is told after a while. */
  #withState(message: Message): Message {
    this.#options.clock.after(100, () => {
      this.#guard(() => this.#runner?.input({ type: "SnapshotSent", id: message.to, index: undefined }));
    });
    return {
      ...message,
      context: encodeSnapshot({ index: message.index, term: message.logTerm, state: [...this.#state] }),
    };
  }

  async #receive(message: Message): Promise<void> {
    if (this.#runner === undefined) return;
    await this.#writeFile(`${message.index}.received`, message.context);
    if (this.#alive) this.#runner.input({ type: "Message", message });
  }

  async #install({ index }: { index: number }): Promise<void> {
    await this.#writing;
    const view = this.#view();
    await view.rename(`${snapDir}/${index}.received`, `${snapDir}/db`);
    await view.syncDir(snapDir);
    const snapshot = (await this.#readFile("db"))!;
    this.#adopt(snapshot);
    this.#options.watch.installs(this.#options.id, snapshot);
  }

  async #openSnapshot(notes: { index: number; term: number }[]) {
    const view = this.#view();
    const newest = notes.reduce((a, b) => (b.index > a.index ? b : a));
    const names = (await view.list(snapDir)) ?? [];
    let snapshot = names.includes("db") ? await this.#readFile("db") : undefined;
    if ((snapshot?.index ?? 0) < newest.index) {
      if (!names.includes(`${newest.index}.received`)) throw new Error(`the snapshot at ${newest.index} is lost`);
      await view.rename(`${snapDir}/${newest.index}.received`, `${snapDir}/db`);
      await view.syncDir(snapDir);
      snapshot = await this.#readFile("db");
    }
    const usable = notes.filter(({ index }) => index <= (snapshot?.index ?? 0));
    return { snapshot, start: usable.reduce((a, b) => (b.index > a.index ? b : a)) };
  }

  #adopt({ index, term, state }: Snapshot): void {
    this.#state = new Map(state);
    this.#applied = index;
    this.#appliedTerm = term;
    this.#snapshotAt = index;
  }

  async #writeFile(name: string, bytes: Uint8Array): Promise<void> {
    const view = this.#view();
    await view.makeDir(snapDir);
    await view.syncDir("/member");
    const temporary = `${snapDir}/${name}.${++this.#counter}.tmp`;
    const file = await view.open(temporary, "create");
    await file.write(0, bytes);
    await file.sync();
    await file.close();
    await view.rename(temporary, `${snapDir}/${name}`);
    await view.syncDir(snapDir);
  }

  async #readFile(name: string): Promise<Snapshot | undefined> {
    const file = await this.#view().open(`${snapDir}/${name}`, "existing");
    const bytes = await file.read(0, await file.size());
    await file.close();
    return JSON.parse(new TextDecoder().decode(bytes)) as Snapshot;
  }

  /** Ticks come at this member's own pace, not to a stalled process, and an assertion in one ends it. */
  #stallable(clock: Clock): Clock {
    return {
      ...clock,
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      after: (ms, fn) => clock.after(ms, fn),
      every: (ms, fn) =>
        clock.every(ms * this.#options.clockRate, () => {
          if (!this.#stalled) this.#guard(fn);
        }),
    };
  }

  #guard(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      this.#die(error as Error);
    }
  }

  #apply(entry: Entry): void {
    const { id, watch, planted } = this.#options;
    const { term } = this.raft!;
    watch.applies(id, entry, term);
    if (planted === "double apply" && entry.index % 50 === 0) watch.applies(id, entry, term);
    this.#applied = entry.index;
    this.#appliedTerm = entry.term;
    if (entry.data.length === 0) return;
    const command = decodeCommand(entry.data);
    this.#state.set(command.key, command.value);
    this.#writes.get(command.id)?.({ type: "answered", value: command.value });
    this.#writes.delete(command.id);
  }

  #confirm(id: string, index: number): void {
    const read = this.#reads.get(id);
    if (read === undefined) return;
    this.#reads.delete(id);
    this.#confirmed.push({ index, ...read });
    this.#answerReads(this.#applied);
  }

  #answerReads(applied: number): void {
    const due = this.#confirmed.filter((read) => read.index <= applied);
    this.#confirmed = this.#confirmed.filter((read) => read.index > applied);
    for (const { key, done } of due) done({ type: "answered", value: this.#state.get(key) });
  }

  #refuse(proposals: Uint8Array[], reads: Uint8Array[]): void {
    for (const data of proposals) {
      const { id } = decodeCommand(data);
      this.#writes.get(id)?.({ type: "refused" });
      this.#writes.delete(id);
    }
    for (const context of reads) {
      const id = new TextDecoder().decode(context);
      this.#reads.get(id)?.done({ type: "refused" });
      this.#reads.delete(id);
    }
  }
}

/** The state machine after the entry `index`. */
export interface Snapshot {
  index: number;
  term: number;
  state: [string, string][];
}

const encodeSnapshot = (snapshot: Snapshot) => new TextEncoder().encode(JSON.stringify(snapshot));
const snapDir = "/member/snap";
const snapshotEvery = 25;

export interface Command {
  id: string;
  key: string;
  value: string;
}

export function encodeCommand(command: Command): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(command));
}

export function decodeCommand(data: Uint8Array): Command {
  return JSON.parse(new TextDecoder().decode(data)) as Command;
}
