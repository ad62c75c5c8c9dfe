import { sleep } from "../../base/clock.ts";
import type { GrpcClient } from "../../net/grpc-client.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import { messageOf, ofResponse, rpcs } from "../checkers/etcd-messages.ts";
import type { Operation, Request, Response } from "../checkers/history.ts";
import type { Tools } from "../sim/recorder.ts";
import { type Role, Workload } from "../sim/workload.ts";
import { isThere, type StoreMember } from "./members.ts";
import { openLoop } from "./open-loop.ts";

/** `role`: without it, a mix of all. `rate`: requests a second that are due, in an open loop; without it one at a time. */
export interface LoadClient {
  name: string;
  role?: Role;
  rate?: number;
}

/**
 * Clients that write down what they see. Each has a member that it asks, and another only while that one is not there:
 * those whose member hangs must not hide how the others fare. Nothing is sent twice: an operation without an answer may
 * happen, or not.
 *
 * In a closed loop a client asks one thing at a time. In an open one (`openLoop`) each request keeps the time at which it was
 * due.
 */
export class Load {
  readonly #members: readonly StoreMember[];
  readonly #tools: Tools;
  readonly #clients: (LoadClient & { workload: Workload })[];
  #running: Promise<unknown> = Promise.resolve();
  readonly #stop = new AbortController();

  /** `run`: what values begin with, which must be new in a store that has those of earlier runs. */
  constructor(members: readonly StoreMember[], tools: Tools, clients: readonly LoadClient[], run: string) {
    this.#members = members;
    this.#tools = tools;
    this.#clients = clients.map((client) => ({
      ...client,
      workload: new Workload(tools.rand, `${run}${client.name}`),
    }));
  }

  /** `round`: registers are new in each, so that the search for an order stays small. */
  start(round: () => string): void {
    this.#running = Promise.all(
      this.#clients.map(({ rate }, n) =>
        rate === undefined
          ? this.#closedLoop(n, round)
          : openLoop(rate, { ...this.#tools, signal: this.#stop.signal }, (due) => this.#whenThere(n, round(), due)),
      ),
    );
  }

  /** Resolves when every operation has ended for its client. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #closedLoop(n: number, round: () => string): Promise<void> {
    const { clock, rand } = this.#tools;
    let at = n % this.#members.length;
    while (!this.#stop.signal.aborted) {
      const there = await isThere(this.#members[at]!, connectMs);
      if (there) await this.#ask(n, this.#members[at]!, round());
      at = there ? n % this.#members.length : (at + 1) % this.#members.length;
      await sleep(clock, 2 + rand.below(16));
    }
  }

  async #whenThere(n: number, round: string, intended: number): Promise<void> {
    for (let i = n; !this.#stop.signal.aborted; i++) {
      const member = this.#members[i % this.#members.length]!;
      if (await isThere(member, connectMs)) return this.#ask(n, member, round, intended);
    }
  }

  async #ask(n: number, member: StoreMember, round: string, intended?: number): Promise<void> {
    const { recorder } = this.#tools;
    const { name, role, workload } = this.#clients[n]!;
    const request = ofRound(role ? workload.as(role) : workload.next(), round);
    const called = recorder.now();
    const due = intended === undefined ? {} : { intended };
    const operation: Operation = { type: "operation", client: name, member: member.name, called, ...due, request };
    recorder.add(operation);
    try {
      operation.response = await call(member.client, request);
    } catch (error) {
      const { code, message } = error instanceof GrpcError ? error : { code: Code.Unknown, message: `${error}` };
      operation.error = { code, message };
    }
    operation.returned = recorder.now();
    workload.saw(operation.response);
  }
}

const ofRound = (request: Request, round: string): Request =>
  "key" in request && request.key.startsWith("r") ? { ...request, key: `${request.key}/${round}` } : request;

async function call(client: GrpcClient, request: Request): Promise<Response> {
  const { op } = request;
  const options = { timeoutMs: answerMs };
  if (op !== "keepalive") return ofResponse(op, await client.unary(rpcs[op], messageOf(request), options));
  const stream = client.bidi(rpcs[op], options);
  stream.send(messageOf(request));
  for await (const answer of stream) return ofResponse(op, answer);
  throw new GrpcError(Code.Unavailable, "the stream ended without an answer");
}

const connectMs = 100;
const answerMs = 1500;
