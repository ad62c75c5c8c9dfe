import type * as pb from "../../proto/generated/etcdserverpb.ts";
import type { Event } from "../../proto/generated/mvccpb.ts";
import type { Bytes } from "./keys.ts";

/** etcd's requests as callers write them: any part of the message, keys and values as text or bytes. */
type Request<T, K extends keyof T> = Partial<Omit<T, K | "key">> & { key: Bytes } & { [P in K]?: Bytes };

export type RangeInit = Request<pb.RangeRequest, "rangeEnd">;
export type PutInit = Request<pb.PutRequest, "value">;
export type DeleteRangeInit = Request<pb.DeleteRangeRequest, "rangeEnd">;
export type CompareInit = Request<pb.Compare, "rangeEnd" | "value">;

export type TxnInit = { compare?: CompareInit[]; success?: RequestOpInit[]; failure?: RequestOpInit[] };

export interface RequestOpInit {
  requestRange?: RangeInit;
  requestPut?: PutInit;
  requestDeleteRange?: DeleteRangeInit;
  requestTxn?: TxnInit;
}

/** The watch id is the client's own business. */
export type WatchInit = Omit<Request<pb.WatchCreateRequest, "rangeEnd">, "watchId" | "fragment">;

export interface WatchHandlers {
  /** The watch stands. From now on no event after `revision` is missed. Called again after each reconnect. */
  onCreated?(revision: number): void;
  /** All events of one or more whole revisions, ascending; `revision` is the header's. Never empty. */
  onEvents(events: Event[], revision: number): void;
  onProgress?(revision: number): void; // every event up to `revision` has been delivered
  /** The watch is over and will not resume: the server cancelled it. Not called after `cancel()`. */
  onClosed(error: WatchClosed): void;
}

/** `compactRevision` > 0: the wanted revisions are compacted; list again and watch from there. */
export class WatchClosed extends Error {
  override name = "WatchClosed";
  readonly compactRevision: number;

  constructor(reason: string, compactRevision: number) {
    super(reason);
    this.compactRevision = compactRevision;
  }
}

export interface Watch {
  /** The revision at which it would resume; 0 before it was created without a start revision. */
  readonly nextRevision: number;
  cancel(): void;
}
