import { brief, type HistoryLine, sameMeaning, type WatchEvent, type WatchLine } from "./history.ts";
import { inRange } from "./model.ts";
import type { Truth } from "./replay.ts";

/**
 * What Watch promises, over all streams of each watcher: events are ordered ("out of order"), unique ("repeated event"),
 * atomic ("split revision": one response holds all of a revision), without a gap ("skipped event"), what was written
 * ("wrong event"), and go on at any member after the last ("resumes"). The truth is the replayed log.
 *
 * `settled`: at the end every watcher had time to hear everything.
 */
export function checkWatches(history: readonly HistoryLine[], truth: Truth, { settled = false } = {}): string[] {
  const watchers = new Map<string, Watcher>();
  for (const line of history) {
    if (line.type !== "watch") continue;
    const watcher = watchers.get(line.watch) ?? new Watcher(line.watch, truth);
    watchers.set(line.watch, watcher);
    watcher.take(line);
  }
  return [...watchers.values()].flatMap((watcher) => {
    if (settled) watcher.end();
    return watcher.violations;
  });
}

class Watcher {
  readonly violations: string[] = [];
  readonly #name: string;
  readonly #truth: Truth;
  #open: Extract<WatchLine, { event: "open" }> | undefined;
  #created = false;
  #next: number | undefined; // the first revision it has not heard all of; undefined: it begins anew, wherever
  #fragments: WatchEvent[] = [];

  constructor(name: string, truth: Truth) {
    this.#name = name;
    this.#truth = truth;
  }

  take(line: WatchLine): void {
    switch (line.event) {
      case "open":
        if (this.#next !== undefined && line.from !== this.#next)
          this.#condemn(`resumes at ${line.from} and not at ${this.#next}`);
        if (line.from > 0) this.#next = line.from;
        this.#open = line;
        this.#created = false;
        this.#fragments = [];
        break;
      case "created":
        if (this.#created) this.#condemn("is created twice");
        this.#created = true;
        this.#next ??= line.revision + 1;
        break;
      case "events":
        this.#fragments.push(...line.events);
        if (line.fragment) break;
        this.#deliver(this.#fragments, line.revision);
        this.#fragments = [];
        break;
      case "progress":
        this.#nothingUntil(line.revision, `but is told that it has everything up to ${line.revision}`);
        if (this.#next !== undefined) this.#next = Math.max(this.#next, line.revision + 1);
        break;
      case "canceled":
        if (line.compacted !== undefined && this.#next !== undefined && this.#next >= line.compacted)
          this.#condemn(`is cancelled at ${this.#next} for a compaction at ${line.compacted}`);
        this.#open = undefined;
        this.#next = undefined;
        break;
      case "closed":
        this.#created = false;
        break;
    }
  }

  end(): void {
    if (this.#open && this.#created) this.#nothingUntil(this.#truth.model.revision, "and never does");
  }

  #deliver(events: readonly WatchEvent[], revision: number): void {
    if (!this.#created || this.#next === undefined) return this.#condemn("hears of an event before it is created");
    const next = this.#next;
    const last = events.at(-1)?.kv.mod ?? revision;
    if (last > revision) this.#condemn(`hears of ${last} in a response of revision ${revision}`);
    const expected = this.#expected(next, last);
    this.#next = Math.max(next, last + 1);
    for (const [i, event] of events.entries()) {
      const { mod, key } = event.kv;
      const what = `${event.type} of ${key} at ${mod}`;
      const due = expected[i];
      if (due !== undefined && this.#same(event, due)) continue;
      const before = events.slice(0, i);
      if (mod < next || before.some((one) => one.kv.mod === mod && one.kv.key === key && one.type === event.type))
        return this.#condemn(`repeated event: hears twice of ${what}`);
      if (before.some((one) => one.kv.mod > mod)) return this.#condemn(`out of order: hears late of ${what}`);
      const later = due?.kv.mod === mod && expected.some((one) => this.#same(event, one));
      if (due !== undefined && (due.kv.mod < mod || later))
        return this.#condemn(`skipped event: does not hear of ${due.type} of ${due.kv.key} at ${due.kv.mod}`);
      return this.#condemn(`wrong event: hears ${brief(event)}, not ${brief(due)}`);
    }
    if (events.length < expected.length)
      this.#condemn(`split revision: does not hear at once of ${expected.length - events.length} events at ${last}`);
  }

  #nothingUntil(revision: number, and: string): void {
    if (this.#next === undefined) return;
    const missed = this.#expected(this.#next, revision)[0];
    if (missed)
      this.#condemn(`skipped event: has not heard of ${missed.type} of ${missed.kv.key} at ${missed.kv.mod}, ${and}`);
  }

  #expected(from: number, to: number): WatchEvent[] {
    const { key, end, noPut, noDelete } = this.#open!;
    return this.#truth.model.events
      .slice(Math.max(0, from), to + 1)
      .flat()
      .filter((event) => inRange(event.kv.key, key, end) && !(event.type === "put" ? noPut : noDelete));
  }

  /** The value before is given if it was asked for, and may be missing once it is compacted. */
  #same(event: WatchEvent, due: WatchEvent): boolean {
    const { prev, ...bare } = due;
    if (!this.#open!.prevKv || prev === undefined) return sameMeaning(event, bare);
    const gone = event.prev === undefined && this.#truth.model.compacted >= due.kv.mod;
    return sameMeaning(event, due) || (gone && sameMeaning(event, bare));
  }

  #condemn(text: string): void {
    this.violations.push(`watch ${this.#name}: ${text}`);
  }
}
