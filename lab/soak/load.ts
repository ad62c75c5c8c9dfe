import { type Clock, sleep } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import type { GrpcClient } from "../../net/grpc-client.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import { KVService, LeaseService } from "../../proto/generated/etcdserverpb.ts";
import { ofResponse, toMessage } from "../checkers/etcd-messages.ts";
import type { Operation, Request, Response } from "../checkers/history.ts";
import type { Recorder } from "../sim/recorder.ts";
import { Workload } from "../sim/workload.ts";
import type { SoakCluster } from "./cluster.ts";

/**
 * Clients, one operation at a time each, that write down what they see. Each has a member that it asks, and another only
 * while that one is not there: those whose member hangs must not hide how the others fare. Nothing is sent twice: an
 * operation without an answer may happen, or not.
 */
export class Load {
  readonly #cluster: SoakCluster;
  readonly #recorder: Recorder;
  readonly #rand: Rand;
  readonly #clock: Clock;
  readonly #workloads: Workload[];
  #running: Promise<unknown> = Promise.resolve();
  #on = false;

  constructor(cluster: SoakCluster, recorder: Recorder, rand: Rand, clock: Clock, clients: number) {
    this.#cluster = cluster;
    this.#recorder = recorder;
    this.#rand = rand;
    this.#clock = clock;
    this.#workloads = Array.from({ length: clients }, (_, i) => new Workload(rand, `c${i}`));
  }

  /** `round`: registers are new in each, so that the search for an order stays small. */
  start(round: number): void {
    this.#on = true;
    this.#running = Promise.all(this.#workloads.map((workload, i) => this.#client(i, workload, round)));
  }

  /** Resolves when every operation has ended for its client. */
  async stop(): Promise<void> {
    this.#on = false;
    await this.#running;
  }

  async #client(n: number, workload: Workload, round: number): Promise<void> {
    const { members } = this.#cluster;
    let at = n % members.length;
    while (this.#on) {
      const member = members[at]!;
      // Who is not there is not asked: that would be an operation of which nothing is known.
      const there = await member.client.ready(connectMs).then(
        () => true,
        () => false,
      );
      if (there) workload.saw(await this.#ask(`c${n}`, member.name, member.client, ofRound(workload.next(), round)));
      at = there ? n % members.length : (at + 1) % members.length;
      await sleep(this.#clock, 2 + this.#rand.below(16));
    }
  }

  async #ask(client: string, member: string, grpc: GrpcClient, request: Request): Promise<Response | undefined> {
    const operation: Operation = { type: "operation", client, member, called: this.#recorder.now(), request };
    this.#recorder.add(operation);
    try {
      operation.response = await call(grpc, request);
    } catch (error) {
      const { code, message } = error instanceof GrpcError ? error : { code: Code.Unknown, message: `${error}` };
      operation.error = { code, message };
    }
    operation.returned = this.#recorder.now();
    return operation.response;
  }
}

const ofRound = (request: Request, round: number): Request =>
  "key" in request && request.key.startsWith("r") ? { ...request, key: `${request.key}/${round}` } : request;

async function call(client: GrpcClient, request: Request): Promise<Response> {
  const { put, deleteRange, range, txn, compaction, leaseGrant, leaseRevoke, keepAlive } = toMessage(request);
  const options = { timeoutMs: answerMs };
  if (put) return ofResponse("put", await client.unary(KVService.Put, put, options));
  if (deleteRange) return ofResponse("delete", await client.unary(KVService.DeleteRange, deleteRange, options));
  if (range) return ofResponse("range", await client.unary(KVService.Range, range, options));
  if (txn) return ofResponse("txn", await client.unary(KVService.Txn, txn, options));
  if (compaction) return ofResponse("compact", await client.unary(KVService.Compact, compaction, options));
  if (leaseGrant) return ofResponse("grant", await client.unary(LeaseService.LeaseGrant, leaseGrant, options));
  if (leaseRevoke) return ofResponse("revoke", await client.unary(LeaseService.LeaseRevoke, leaseRevoke, options));
  const stream = client.bidi(LeaseService.LeaseKeepAlive, options);
  stream.send(keepAlive!);
  for await (const answer of stream) return ofResponse("keepalive", answer);
  throw new GrpcError(Code.Unavailable, "the stream ended without an answer");
}

const connectMs = 100;
const answerMs = 1500;
