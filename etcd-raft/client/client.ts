import { type Clock, systemClock } from "../../base/clock.ts";
import type { Faults } from "../../base/faults.ts";
import type { CallOptions, ClientTls } from "../../net/grpc-client.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import type { Method } from "../../proto/wire.ts";
import { Endpoints } from "./endpoints.ts";
import { inBytes } from "./keys.ts";
import type { DeleteRangeInit, PutInit, RangeInit, TxnInit, Watch, WatchHandlers, WatchInit } from "./types.ts";
import { Watcher } from "./watcher.ts";

export { Code, GrpcError } from "../../net/grpc-error.ts";
export { keyAfter, prefixEnd, toBytes } from "./keys.ts";
export * from "./types.ts";

/**
 * A client of the etcd v3 API over several endpoints. Works against our members and against etcd's own.
 *
 * Failures are `GrpcError` with etcd's code and text. Reads are repeated at another member while there is time; a write
 * that was sent is not, so Unavailable or DeadlineExceeded on one means: unknown whether it happened.
 *
 *     const etcd = new EtcdClient({ endpoints: ["http://127.0.0.1:2379"] });
 *     const { header } = await etcd.put({ key: "a", value: "1" });
 *     etcd.watch({ key: "a", startRevision: header!.revision }, { onEvents: console.log, onClosed: console.error });
 */
export interface EtcdClientOptions {
  endpoints: readonly string[]; // `http://host:port` or `https://host:port`
  tls?: ClientTls; // needed for https
  faults?: Faults | undefined; // what its connections suffer on request, by the host of the endpoint
  clock?: Clock;
}

export class EtcdClient {
  readonly #endpoints: Endpoints;
  readonly #watcher: Watcher;

  constructor({ clock = systemClock, ...options }: EtcdClientOptions) {
    this.#endpoints = new Endpoints(options.endpoints, { ...options, clock });
    this.#watcher = new Watcher(this.#endpoints, clock);
  }

  readonly range = this.#call<RangeInit, pb.RangeResponse>(pb.KVService.Range, true);
  readonly put = this.#call<PutInit, pb.PutResponse>(pb.KVService.Put, false);
  readonly deleteRange = this.#call<DeleteRangeInit, pb.DeleteRangeResponse>(pb.KVService.DeleteRange, false);
  readonly txn = this.#call<TxnInit, pb.TxnResponse>(pb.KVService.Txn, false);
  readonly compact = this.#call<Partial<pb.CompactionRequest>, pb.CompactionResponse>(pb.KVService.Compact, false);
  readonly leaseGrant = this.#call<Partial<pb.LeaseGrantRequest>, pb.LeaseGrantResponse>(
    pb.LeaseService.LeaseGrant,
    false,
  );

  /** Goes on over broken streams and dead members until cancelled or `onClosed`. */
  watch(request: WatchInit, handlers: WatchHandlers): Watch {
    return this.#watcher.watch(request, handlers);
  }

  /** Asks the server to tell all watches how far they are (`onProgress`). It may stay silent: ask again after a while. */
  requestProgress(): void {
    this.#watcher.requestProgress();
  }

  leaseRevoke(id: bigint, options: CallOptions = {}): Promise<pb.LeaseRevokeResponse> {
    return this.#endpoints.call(pb.LeaseService.LeaseRevoke, { ID: id }, false, options);
  }

  /** Renews once. TTL 0 in the answer: the lease is gone. */
  async leaseKeepAlive(id: bigint, options: CallOptions = {}): Promise<pb.LeaseKeepAliveResponse> {
    return this.#endpoints.exchange(pb.LeaseService.LeaseKeepAlive, { ID: id }, options);
  }

  leaseTimeToLive(id: bigint, keys = false, options: CallOptions = {}): Promise<pb.LeaseTimeToLiveResponse> {
    return this.#endpoints.call(pb.LeaseService.LeaseTimeToLive, { ID: id, keys }, true, options);
  }

  leaseLeases(options: CallOptions = {}): Promise<pb.LeaseLeasesResponse> {
    return this.#endpoints.call(pb.LeaseService.LeaseLeases, {}, true, options);
  }

  memberList(options: CallOptions = {}): Promise<pb.MemberListResponse> {
    return this.#endpoints.call(pb.ClusterService.MemberList, { linearizable: true }, true, options);
  }

  /** Of the member in use; make a client of one endpoint to ask a certain one. */
  status(options: CallOptions = {}): Promise<pb.StatusResponse> {
    return this.#endpoints.call(pb.MaintenanceService.Status, {}, true, options);
  }

  hashKV(revision = 0, options: CallOptions = {}): Promise<pb.HashKVResponse> {
    return this.#endpoints.call(pb.MaintenanceService.HashKV, { revision }, true, options);
  }

  /** `repeatable`: doing it twice is as good as once. */
  #call<Q extends object, R>(method: Method<object, R>, repeatable: boolean) {
    return (request: Q, options: CallOptions = {}): Promise<R> =>
      this.#endpoints.call(method, inBytes<object>(request), repeatable, options);
  }

  close(): void {
    this.#watcher.close();
    this.#endpoints.close();
  }
}
