import { createHash } from "node:crypto";
import type net from "node:net";
import { Code } from "../../net/grpc-error.ts";
import type { Message } from "../raft/types.ts";
import { encodeMessage } from "../raft/wire.ts";
import { turn } from "../snap/slices.ts";
import type { ClusterMember } from "./cluster.ts";
import { answerFrame, FrameKind, frameHead, helloFrame } from "./frames.ts";
import { answerOn, dial } from "./peer.ts";
import type { Incoming } from "./snapshots.ts";
import type { TransportOptions } from "./transport.ts";

/**
 * A state on its way to a follower, on a connection of its own: heartbeats and appends do not wait behind it. After the hello
 * come the Snap message, the file in chunks, and its SHA-256; the receiver answers when the state is durable there.
 */
export async function sendState(
  to: Pick<ClusterMember, "id" | "peerURLs">,
  message: Message,
  chunks: Iterable<Buffer>,
  { clusterId, self, peerURLs, tls: source, traffic }: TransportOptions,
  onSocket: (socket: net.Socket) => void,
): Promise<void> {
  const { socket, up } = dial(to.peerURLs[0]!, source);
  onSocket(socket);
  traffic.add(socket, to.id.toString(16));
  socket.setTimeout(idleMs, () => socket.destroy(new Error("the receiver does not read or answer")));
  const answer = answerOn(socket, to.peerURLs[0]!);
  answer.catch(() => {}); // awaited at the end
  try {
    await Promise.race([new Promise((resolve) => socket.once(up, resolve)), answer]);
    const send = async (kind: FrameKind, payload: Uint8Array) => {
      socket.write(frameHead(kind, payload.length));
      if (!socket.write(payload)) await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), answer]);
      else await Promise.race([turn(), answer]);
    };
    socket.write(helloFrame({ clusterId, from: self, to: to.id, peerURLs: [...peerURLs] }));
    await send(FrameKind.snapshot, encodeMessage(message));
    const hash = createHash("sha256");
    for (const chunk of chunks) {
      hash.update(chunk);
      await send(FrameKind.snapshotChunk, chunk);
    }
    await send(FrameKind.snapshotEnd, hash.digest());
    await answer;
  } finally {
    socket.destroy();
  }
}

/** The other end: frames of one connection, in order, no faster than the disk takes them. */
export class StateReceiver {
  readonly #socket: net.Socket;
  readonly #hash = createHash("sha256");
  readonly #incoming: Promise<Incoming>;
  readonly #done: () => void;
  #work: Promise<void>;
  #queued = 0;
  #ended = false;

  /** `done`: the state is durable, raft may have it. */
  constructor(socket: net.Socket, incoming: Promise<Incoming>, done: () => void) {
    this.#socket = socket;
    this.#incoming = incoming;
    this.#done = done;
    this.#work = incoming.then(() => {});
    this.#work.catch(() => {});
    socket.setTimeout(idleMs, () => socket.destroy());
    socket.on("close", () => void this.#close());
  }

  onFrame(kind: number, payload: Buffer): void {
    const bytes = Buffer.from(payload); // the view is gone after this turn
    this.#queued += bytes.length;
    if (this.#queued > maxQueuedBytes) this.#socket.pause();
    this.#work = this.#work.then(() => this.#take(kind, bytes));
    this.#work.catch((error: Error) => {
      this.#answer(Code.Unavailable, error.message);
      this.#socket.end();
    });
  }

  async #take(kind: number, bytes: Buffer): Promise<void> {
    const incoming = await this.#incoming;
    if (kind === FrameKind.snapshotChunk) {
      this.#hash.update(bytes);
      await incoming.write(bytes);
    } else if (kind === FrameKind.snapshotEnd) {
      if (!this.#hash.digest().equals(bytes)) throw new Error("the state arrived damaged");
      await incoming.end();
      this.#ended = true;
      this.#done();
      this.#answer(Code.OK, "");
    }
    this.#queued -= bytes.length;
    if (this.#queued <= maxQueuedBytes) this.#socket.resume();
  }

  async #close(): Promise<void> {
    try {
      await this.#work.catch(() => {});
      if (!this.#ended) await (await this.#incoming).abort();
    } catch {} // there was no room to begin with; what is left goes at the next start
  }

  #answer(code: Code, text: string): void {
    if (!this.#socket.destroyed) this.#socket.write(answerFrame(1, code, Buffer.from(text)));
  }
}

const idleMs = 30_000;
const maxQueuedBytes = 1 << 20;
