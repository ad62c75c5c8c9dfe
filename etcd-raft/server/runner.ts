import { assert } from "../../base/assert.ts";
import type { Cancel, Clock } from "../../base/clock.ts";
import type { ConfState } from "../raft/conf.ts";
import type { RaftEvent } from "../raft/events.ts";
import { lastIndex } from "../raft/log.ts";
import { type Raft, step } from "../raft/raft.ts";
import type { Entry, HardState, Input, Message, Ready } from "../raft/types.ts";
import type { Wal } from "../wal/wal.ts";

/**
 * Does what raft asks for (`Ready`): write, send, apply; and feeds it time, messages and requests.
 *
 * Everything that arrives during one turn of the event loop is taken together: one Propose, one WAL write, one write to
 * each peer. So the batch grows with the load, and a lone request leaves at once.
 */
export interface RunnerOptions {
  raft: Raft;
  wal: Wal;
  clock: Clock;
  tickMs: number;
  send(messages: Message[]): void;
  /** In order, each entry once. Returns the configuration that the entry made, if it is a change of it. */
  apply(entry: Entry): ConfState | undefined;
  applied(index: number): void; // after a run of `apply`: the store is at rest until the next turn
  /**
   * A received snapshot takes the place of the state. `saved`: its note in the WAL, begun at once. `put`: makes it the state,
   * called when that is durable and the one before is in place.
   */
  install(snapshot: NonNullable<Ready["snapshot"]>): { saved: Promise<void>; put(): Promise<void> };
  onSoftState(state: NonNullable<Ready["softState"]>): void;
  onDropped(dropped: Ready["dropped"]): void; // what raft would not take (`Ready.dropped`)
  onReadState(context: Uint8Array, index: number): void; // this context's read point is `index`
  onFsync(seconds: number): void;
  onApplied?(seconds: number): void; // one run of `apply` and `applied` took so long, whatever it was
  onEvents?(events: RaftEvent[]): void; // what raft decided and why
  onFatal(error: Error): void; // the disk failed, or an invariant is broken: the member must end
}

export class Runner {
  readonly #options: RunnerOptions;
  #inputs: Input[] = [];
  #proposals: Uint8Array[] = [];
  #scheduled = false;
  #stopped = false;
  #toApply: Entry[] = [];
  #applyFrom = 0;
  #cancelTick: Cancel = () => {};
  #lastTick = 0;
  #stalled = false;
  #commitNews = 0; // to be told to the followers
  #lastAppend = Number.NEGATIVE_INFINITY;
  #pace = Number.POSITIVE_INFINITY; // milliseconds between the last two appends
  #cancelTell: Cancel | undefined;
  #installing = 0;
  #installed: Promise<void> = Promise.resolve(); // the last of them
  #durableCommit: number;
  lateHeartbeats = 0; // for the metrics

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#durableCommit = options.raft.log.committed; // what was read
  }

  start(): void {
    const { clock, tickMs } = this.#options;
    this.#lastTick = clock.monotonic();
    this.#cancelTick = clock.every(tickMs, () => {
      if (this.#sinceTick() > stallTicks * tickMs) this.#stalled = true;
      if (this.#sinceTick() > 2 * tickMs && this.raft.role === "leader") this.lateHeartbeats++;
      this.#lastTick = clock.monotonic();
      this.#inputs.push({ type: "Tick" });
      this.#turn();
    });
    this.#schedule();
  }

  /** No more inputs are taken. What was saved stays; call `wal.close()` afterwards. */
  stop(): void {
    this.#stopped = true;
    this.#cancelTick();
    this.#cancelTell?.();
  }

  propose(data: Uint8Array): void {
    this.#proposals.push(data);
    this.#schedule();
  }

  input(input: Input): void {
    this.#inputs.push(input);
    this.#schedule();
  }

  /** To look at, never to change. */
  get raft(): Raft {
    return this.#options.raft;
  }

  /** Snapshots that are taking the state's place. */
  get installing(): number {
    return this.#installing;
  }

  /** Committed entries that are not applied yet. */
  get backlog(): number {
    return this.#toApply.length - this.#applyFrom;
  }

  /**
   * Raft has missed ticks (the process was stopped, or too busy): others may have elected a leader meanwhile. Until
   * `confirmed`, by a read that the others answered, this member cannot know whether it still leads.
   */
  get stalled(): boolean {
    return this.#stalled || this.#sinceTick() > stallTicks * this.#options.tickMs;
  }

  confirmed(): void {
    this.#stalled = false;
  }

  #sinceTick(): number {
    return this.#options.clock.monotonic() - this.#lastTick;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#turn();
    });
  }

  #turn(): void {
    if (this.#stopped) return;
    try {
      this.#work();
    } catch (error) {
      // A broken invariant: nothing that came of this turn may leave.
      this.stop();
      this.#options.onFatal(error as Error);
    }
  }

  #work(): void {
    const out = new Batch();
    const inputs = this.#inputs;
    this.#inputs = [];
    for (const input of inputs) this.#step(input, out);
    if (this.#proposals.length > 0 && !this.#holds()) {
      const data = this.#proposals;
      this.#proposals = [];
      this.#step({ type: "Propose", data }, out);
    }
    this.#act(out);
    const toApply = () => this.#mayApply(this.#toApply[this.#applyFrom]) && this.#installing === 0;
    if (toApply()) {
      this.#step({ type: "Applied", ...this.#applySome() }, out);
      this.#act(out);
    }
    if (toApply() || this.#inputs.length > 0) this.#schedule();
  }

  #mayApply(entry: Entry | undefined): boolean {
    return entry !== undefined && (entry.type === 0 || entry.index <= this.#durableCommit);
  }

  /**
   * Under load each batch waits until the one before is committed, or it is as large: fewer, larger ones cost less (measured:
   * a seventh at 1,000 requests in flight). A few writers do not wait for each other.
   */
  #holds(): boolean {
    const { role, log } = this.#options.raft;
    if (role !== "leader") return false;
    const onTheWay = lastIndex(log) - log.committed;
    return onTheWay >= manyOnTheWay && this.#proposals.length < onTheWay;
  }

  #step(input: Input, out: Batch): void {
    const ready = step(this.#options.raft, input);
    if (ready.snapshot) this.#install(ready.snapshot, ready, out);
    else out.add(ready);
    if (ready.events) this.#options.onEvents?.(ready.events);
    if (ready.softState) this.#options.onSoftState(ready.softState);
    const { proposals, confChanges, reads } = ready.dropped;
    if (proposals.length + confChanges.length + reads.length > 0) this.#options.onDropped(ready.dropped);
    for (const { context, index } of ready.readStates) this.#options.onReadState(context, index);
    for (const entry of ready.committedEntries) this.#toApply.push(entry);
    if (ready.entries.length > 0) this.#notePace();
    if (ready.commitNews === 0) return;
    if (this.#pace < tellCommitMs) this.#tellSoon(ready.commitNews);
    else this.#step({ type: "TellCommit", index: ready.commitNews }, out);
  }

  #notePace(): void {
    const now = this.#options.clock.monotonic();
    this.#pace = now - this.#lastAppend;
    this.#lastAppend = now;
  }

  /** At this pace the next append carries the news before the time is over. */
  #tellSoon(index: number): void {
    this.#commitNews = index;
    this.#cancelTell ??= this.#options.clock.after(tellCommitMs, () => {
      this.#cancelTell = undefined;
      this.#inputs.push({ type: "TellCommit", index });
      if (this.#commitNews > index) this.#tellSoon(this.#commitNews);
      this.#turn();
    });
  }

  /** Everything before is saved first; entries that are not applied yet are in the snapshot. */
  #install(snapshot: NonNullable<Ready["snapshot"]>, ready: Ready, out: Batch): void {
    this.#act(out);
    this.#toApply = [];
    this.#applyFrom = 0;
    this.#installing++;
    const { wal, install, applied, send, onFatal } = this.#options;
    const { saved, put } = install(snapshot);
    // After the note: a torn write must not leave a commit index without the log it belongs to.
    const hardState = wal.save(ready.hardState, []);
    // Only then the state on disk may go ahead of the log.
    const before = this.#installed;
    this.#installed = Promise.all([saved, hardState, before]).then(put);
    if (ready.messages.length > 0) send(ready.messages);
    this.#installed.then(
      () => {
        this.#installing--;
        if (this.#stopped) return;
        this.#inputs.push({ type: "Applied", index: snapshot.index });
        applied(snapshot.index);
        send(ready.messagesAfterPersist);
        this.#schedule();
      },
      (error: Error) => {
        if (!this.#stopped) onFatal(error);
      },
    );
  }

  /** What others wait for leaves before our own disk gets to work: the way to them is longer. */
  #act(out: Batch): void {
    if (out.messages.length > 0) this.#options.send(out.messages);
    if (out.hardState || out.entries.length > 0 || out.afterPersist.length > 0) this.#save(out);
    out.clear();
  }

  #save({ hardState, entries, afterPersist, mustSync }: Batch): void {
    const { wal, clock, onFsync, onFatal } = this.#options;
    const begin = clock.monotonic();
    const last = entries.at(-1);
    wal.save(hardState, entries, mustSync).then(
      () => {
        if (hardState) this.#durableCommit = Math.max(this.#durableCommit, hardState.commit);
        if (last) {
          onFsync((clock.monotonic() - begin) / 1000);
          this.#inputs.push({ type: "Persisted", index: last.index, term: last.term });
        }
        if (this.#stopped) return;
        if (afterPersist.length > 0) this.#options.send(afterPersist);
        if (last || mustSync) this.#turn();
      },
      (error: Error) => {
        if (!this.#stopped) onFatal(error);
      },
    );
  }

  /**
   * A member that starts has its whole log to apply: one slice a turn, so that heartbeats are answered meanwhile. Raft
   * hears of a new configuration before anything after it is applied.
   */
  #applySome(): { index: number; conf: ConfState | undefined } {
    const entries = this.#toApply;
    const { clock, apply, applied, onApplied } = this.#options;
    const begin = clock.monotonic();
    const end = begin + applySliceMs;
    let index = 0;
    let bytes = 0; // since the last look at the clock
    let conf: ConfState | undefined;
    while (this.#mayApply(entries[this.#applyFrom])) {
      const entry = entries[this.#applyFrom++]!;
      assert(index === 0 || entry.index === index + 1, "entries are applied in order");
      index = entry.index;
      conf = apply(entry);
      if (conf) break;
      bytes += entry.data.length;
      if (index % 64 !== 0 && bytes < lookBytes) continue;
      bytes = 0;
      if (clock.monotonic() > end) break;
    }
    if (this.#applyFrom === entries.length) {
      this.#toApply = [];
      this.#applyFrom = 0;
    } else if (this.#applyFrom >= manyApplied) {
      // Raft may have forgotten them: what a start has to apply is not held twice, nor to its end.
      this.#toApply = entries.slice(this.#applyFrom);
      this.#applyFrom = 0;
    }
    applied(index);
    onApplied?.((clock.monotonic() - begin) / 1000);
    return { index, conf };
  }
}

/** What several steps of one turn ask for, together. */
class Batch {
  hardState: HardState | undefined;
  mustSync = false;
  entries: Entry[] = [];
  messages: Message[] = [];
  afterPersist: Message[] = [];

  add(ready: Ready): void {
    this.hardState = ready.hardState ?? this.hardState;
    this.mustSync ||= ready.mustSync;
    for (const entry of ready.entries) this.entries.push(entry);
    for (const message of ready.messages) this.messages.push(message);
    for (const message of ready.messagesAfterPersist) this.afterPersist.push(message);
  }

  clear(): void {
    Object.assign(this, new Batch());
  }
}

/** As etcd: a leader that has not ticked for so many heartbeats asks before it renews a lease. */
const stallTicks = 3;
const applySliceMs = 10;
const lookBytes = 64 * 1024;
const manyApplied = 20_000;
const tellCommitMs = 1;
const manyOnTheWay = 16;
