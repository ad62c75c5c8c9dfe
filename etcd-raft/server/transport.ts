import type net from "node:net";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import { type TlsSource, tlsAcceptor } from "../../net/tls-source.ts";
import { etcdError } from "../errors.ts";
import { type Message, none } from "../raft/types.ts";
import { decodeMessage } from "../raft/wire.ts";
import { type ClusterMember, idText } from "./cluster.ts";
import { answerFrame, FrameKind, helloOf, raftFrame, readFrames } from "./frames.ts";
import { Peer } from "./peer.ts";
import { StateReceiver, sendState } from "./snapshot-link.ts";
import type { Incoming } from "./snapshots.ts";
import type { Traffic } from "./traffic.ts";

/**
 * Connections between members: one that we dial to each peer for what we send, redialled with back-off, and those that
 * peers dial to us. What cannot be sent is dropped: raft sends again. With TLS both sides show certificates.
 */
export interface TransportHandlers {
  onMessage(message: Message): void;
  /** The connection to a peer is gone and could not be made again at once. Told at each try. */
  onUnreachable(id: bigint, reason: string): void;
  onConnected(id: bigint): void;
  /** The state is coming from a leader, to be written to what this gives; `done` when all of it is durable. */
  onState(message: Message): { incoming: Promise<Incoming>; done(): void };
  /** A call of another member; the answer is bytes. Throws GrpcError. */
  onCall(kind: FrameKind, request: Buffer, from: bigint): Promise<Uint8Array>;
  /** Was this member removed from the cluster? Such one is told so, and gets nothing else. */
  isRemoved(id: bigint): boolean;
  onRemoved(): void; // another member says that we were
}

export interface PeerTransportOptions {
  clusterId: bigint;
  self: bigint;
  peerURLs: readonly string[]; // where the others reach us: told to those who do not know us yet
  peers: ClusterMember[];
  clock: Clock;
  log: Logger;
  handlers: TransportHandlers;
}

/** The network as a member needs it. `Transport` is the real one; `lab/sim` has one that loses, doubles and reorders. */
export interface PeerTransport {
  start(): void;
  /** All messages of one turn. Returns those that could not leave. */
  send(messages: readonly Message[]): Message[];
  /** Asks another member. Throws Unavailable when there is no connection or no answer in time. */
  call(to: bigint, kind: FrameKind, request: Uint8Array, timeoutMs: number): Promise<Buffer>;
  /** Sends a follower the state; rejects when it did not take it. */
  sendState(message: Message, chunks: Iterable<Buffer>): Promise<void>;
  setPeer(member: Pick<ClusterMember, "id" | "peerURLs">): void; // A new peer, or new addresses of one
  removePeer(id: bigint): void; // what it still sends is not heard any more
  connectedSince(id: bigint): number | undefined; // by the monotonic clock; undefined while it is not
  close(): void;
}

export interface TransportOptions extends PeerTransportOptions {
  tls: TlsSource | undefined; // undefined: plain TCP (http peer URLs)
  traffic: Traffic;
  requireClientCertificate: boolean;
}

export class Transport implements PeerTransport {
  readonly #options: TransportOptions;
  readonly #peers = new Map<bigint, Peer>();
  /** What others dialled, and with whom, once that is known; also those on which a state leaves. */
  readonly #sockets = new Map<net.Socket, bigint | undefined>();
  #started = false;
  readonly #listeners: net.Server[] = [];
  #acceptTLS: ((socket: net.Socket) => void) | undefined;

  constructor(options: TransportOptions) {
    this.#options = options;
    for (const member of options.peers) this.#peers.set(member.id, new Peer(member, options));
  }

  start(): void {
    this.#started = true;
    for (const peer of this.#peers.values()) peer.dial();
  }

  serve(listener: net.Server, secure: boolean): void {
    this.#listeners.push(listener);
    if (!secure) {
      listener.on("connection", (socket: net.Socket) => this.#accept(socket));
      return;
    }
    const { tls: source, requireClientCertificate, log } = this.#options;
    const options = { requestCert: requireClientCertificate, rejectUnauthorized: requireClientCertificate };
    this.#acceptTLS ??= tlsAcceptor(source!, options, {
      accept: (socket) => this.#accept(socket),
      refused: ({ remoteAddress }, reason) => log.warn({ remote: remoteAddress, reason }, "Rejected a peer connection"),
    });
    listener.on("connection", (socket: net.Socket) => {
      socket.on("error", () => {});
      this.#acceptTLS!(socket);
    });
  }

  /** One write for each peer. */
  send(messages: readonly Message[]): Message[] {
    const batches = new Map<Peer, Buffer[]>();
    const stuck: Message[] = [];
    let last: { message: Message; frame: Buffer } | undefined;
    for (const message of messages) {
      const peer = this.#peers.get(message.to);
      if (!peer?.canSend) {
        stuck.push(message);
        continue;
      }
      if (last === undefined || !sameAppend(last.message, message)) last = { message, frame: raftFrame(message) };
      const batch = batches.get(peer);
      if (batch) batch.push(last.frame);
      else batches.set(peer, [last.frame]);
    }
    for (const [peer, batch] of batches) peer.write(batch);
    return stuck;
  }

  call(to: bigint, kind: FrameKind, request: Uint8Array, timeoutMs: number): Promise<Buffer> {
    const peer = this.#peers.get(to);
    if (peer === undefined) return Promise.reject(etcdError("noLeader"));
    return peer.call(kind, request, timeoutMs);
  }

  sendState(message: Message, chunks: Iterable<Buffer>): Promise<void> {
    const to = this.#peers.get(message.to);
    if (to === undefined) return Promise.reject(new Error("no such peer"));
    return sendState(to.member, message, chunks, this.#options, (socket) => this.#own(socket, message.to));
  }

  setPeer(member: Pick<ClusterMember, "id" | "peerURLs">): void {
    if (member.id === this.#options.self || member.peerURLs.length === 0) return;
    const before = this.#peers.get(member.id);
    if (before?.member.peerURLs.join() === member.peerURLs.join()) return;
    before?.close();
    const peer = new Peer({ id: member.id, peerURLs: [...member.peerURLs] }, this.#options);
    this.#peers.set(member.id, peer);
    if (this.#started) peer.dial();
  }

  removePeer(id: bigint): void {
    this.#peers.get(id)?.close();
    this.#peers.delete(id);
    for (const [socket, other] of this.#sockets) if (other === id) socket.destroy();
  }

  connectedSince(id: bigint): number | undefined {
    const peer = this.#peers.get(id);
    return peer?.connected ? peer.since : undefined;
  }

  close(): void {
    for (const listener of this.#listeners) listener.close(); // first: peers redial at once
    for (const peer of this.#peers.values()) peer.close();
    for (const socket of this.#sockets.keys()) socket.destroy();
  }

  #own(socket: net.Socket, other: bigint | undefined): void {
    this.#sockets.set(socket, other);
    socket.on("close", () => this.#sockets.delete(socket));
  }

  #accept(socket: net.Socket): void {
    const { clusterId, self, log, handlers } = this.#options;
    this.#own(socket, undefined);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    let from: bigint | undefined;
    let state: StateReceiver | undefined;
    const onFrame = (kind: number, payload: Buffer) => {
      if (from === undefined) {
        if (kind === FrameKind.members || kind === FrameKind.hashKV) {
          this.#answer(socket, kind, payload, none);
          return;
        }
        if (!this.#started) return void socket.destroy(); // it redials once we dial it
        const hello = helloOf(kind, payload);
        if (hello?.clusterId === clusterId && handlers.isRemoved(hello.from)) {
          socket.end(answerFrame(0, Code.FailedPrecondition, Buffer.from(removedText)));
          return;
        }
        // We may lag behind: who comes with our cluster's id and knows ours, and was not removed, was added.
        if (hello?.clusterId === clusterId && !this.#peers.has(hello.from)) this.setPeer({ id: hello.from, ...hello });
        if (hello?.clusterId !== clusterId || hello.to !== self || !this.#peers.has(hello.from)) {
          log.warn(
            { remote: socket.remoteAddress, theirs: hello && idText(hello.clusterId), ours: idText(clusterId) },
            "Refused a peer: cluster ID mismatch, or not a member",
          );
          socket.destroy();
          return;
        }
        from = hello.from;
        this.#sockets.set(socket, from);
        this.#options.traffic.add(socket, from.toString(16));
        this.#peers.get(from)!.dialNow();
      } else if (state !== undefined) {
        state.onFrame(kind, payload);
      } else if (kind === FrameKind.snapshot) {
        const message = decodeMessage(payload);
        if (message.from !== from || message.type !== "Snap") throw new Error("a state without its message");
        const { incoming, done } = handlers.onState(message);
        state = new StateReceiver(socket, incoming, done);
      } else if (kind === FrameKind.raft) {
        const message = decodeMessage(payload);
        message.to = self;
        if (message.from === from) handlers.onMessage(message);
      } else {
        this.#answer(socket, kind as FrameKind, payload, from);
      }
    };
    readFrames(socket, onFrame, (err) =>
      log.warn({ err, from: from && idText(from) }, "Bad bytes from a peer, closing the connection"),
    );
  }

  #answer(socket: net.Socket, kind: FrameKind, payload: Buffer, from: bigint): void {
    const number = payload.readUInt32BE(0);
    const reply = (code: Code, body: Uint8Array) => {
      if (!socket.destroyed) socket.write(answerFrame(number, code, body));
    };
    this.#options.handlers.onCall(kind, Buffer.from(payload.subarray(4)), from).then(
      (response) => reply(Code.OK, response),
      (error: unknown) => {
        const known = error instanceof GrpcError ? error : new GrpcError(Code.Unavailable, (error as Error).message);
        reply(known.code, Buffer.from(known.message));
      },
    );
  }
}

/** Followers that are equally far get the same. */
function sameAppend(a: Message, b: Message): boolean {
  if (a.type !== "App" || b.type !== "App" || a.index !== b.index || a.commit !== b.commit || a.term !== b.term)
    return false;
  const { length } = a.entries;
  return length === b.entries.length && length > 0 && a.entries[length - 1] === b.entries[length - 1];
}

const removedText = "the member has been permanently removed from the cluster"; // etcd's text
