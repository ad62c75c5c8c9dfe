import type { WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import { bytesOf, ofEvent } from "../checkers/etcd-messages.ts";
import type { WatchLine } from "../checkers/history.ts";
import type { Recorder } from "./recorder.ts";

export interface Watched {
  key: string;
  end?: string;
  prevKv?: boolean;
  noPut?: boolean;
  noDelete?: boolean;
}

/** What one watcher has heard, over one stream after the other, and its lines of the history. */
export abstract class Watcher {
  readonly name: string;
  next: number; // the first revision that it has not heard all of; 0: from now on
  events = 0;
  readonly heard = new Map<number, number>(); // when it first heard of each revision
  readonly #watched: Watched;
  readonly #recorder: Recorder;
  #member = "";

  constructor(name: string, watched: Watched, recorder: Recorder, next: number) {
    this.name = name;
    this.#watched = watched;
    this.#recorder = recorder;
    this.next = next;
  }

  /** A stream at this member begins, with what this asks for. */
  protected begin(member: string) {
    this.#member = member;
    const { key, end = "", noPut, noDelete, prevKv = false } = this.#watched;
    this.note({ event: "open", ...this.#watched, from: this.next });
    const filters = [...(noPut ? [0] : []), ...(noDelete ? [1] : [])];
    const range = { key: bytesOf(key), rangeEnd: bytesOf(end), startRevision: this.next };
    return { ...range, prevKv, filters, progressNotify: true };
  }

  /** Returns whether the stream is of no more use. */
  protected take({
    header,
    canceled,
    created,
    compactRevision,
    cancelReason: reason,
    ...response
  }: WatchResponse): boolean {
    const { revision } = header!;
    if (canceled) {
      this.next = compactRevision;
      this.note({ event: "canceled", ...(compactRevision > 0 && { compacted: compactRevision }), reason });
    } else if (created) {
      this.note({ event: "created", revision });
      this.next ||= revision + 1;
    } else if (response.events.length > 0) {
      const { fragment } = response;
      const events = response.events.map(ofEvent);
      const at = this.note({ event: "events", revision, events, ...(fragment && { fragment }) });
      this.events += events.length;
      for (const { kv } of events) if (!this.heard.has(kv.mod)) this.heard.set(kv.mod, at);
      if (!fragment) this.next = Math.max(this.next, events.at(-1)!.kv.mod + 1);
    } else {
      this.note({ event: "progress", revision });
      this.next = Math.max(this.next, revision + 1);
    }
    return canceled;
  }

  protected note(line: Partial<WatchLine>): number {
    const at = this.#recorder.now();
    this.#recorder.add({ type: "watch", watch: this.name, member: this.#member, at, ...line } as WatchLine);
    return at;
  }
}
