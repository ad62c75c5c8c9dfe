import net from "node:net";

/**
 * Sockets outside the lab. A lab lives in its own network namespace; what people on the machine reach (member
 * clients, apiserver, NodePorts) listens outside it. A process asks its supervisor over the IPC channel it was started
 * with; the supervisor opens the socket outside and hands it over (a listening socket keeps the namespace it was made
 * in). The asker alone holds it then: when the process dies, the kernel refuses connections at once.
 *
 * The same the other way round: a lab has no way out, so a connection to a store elsewhere is made by the supervisor.
 *
 * Wire, JSON over Node's IPC channel:
 *   child -> supervisor  { type: "listen" or "connect", id, host, port }
 *   supervisor -> child  { type: "outside", id } + net.Server or net.Socket handle, or { type: "outside", id, error }
 */
export interface OutsideRequest {
  type: "listen" | "connect";
  id: number;
  host: string;
  port: number;
}

export interface OutsideReply {
  type: "outside";
  id: number;
  error?: string;
}

let lastId = 0;
const waiting = new Map<number, (reply: OutsideReply, handle: unknown) => void>();

/**
 * A server that listens on host:port outside the lab, or in this process's own network when no supervisor is there.
 * Throws when the address cannot be had; the message names it.
 */
export function listenOutside(host: string, port: number): Promise<net.Server> {
  return process.send === undefined ? listenHere(host, port) : ask<net.Server>("listen", host, port);
}

/** A connection from outside the lab to host:port; nothing of it has been read. Rejects when it cannot be made. */
export function connectOutside(host: string, port: number): Promise<net.Socket> {
  return process.send === undefined ? connectHere(host, port) : ask<net.Socket>("connect", host, port);
}

function ask<T>(type: OutsideRequest["type"], host: string, port: number): Promise<T> {
  if (waiting.size === 0) process.on("message", onMessage);
  const id = ++lastId;
  return new Promise((resolve, reject) => {
    waiting.set(id, (reply, handle) => {
      if (handle) resolve(handle as T);
      else reject(new Error(reply.error ?? `no socket for ${host}:${port} came back`));
    });
    process.send!({ type, id, host, port } satisfies OutsideRequest);
  });
}

function onMessage(message: unknown, handle: unknown): void {
  const reply = message as OutsideReply;
  if (reply?.type !== "outside") return;
  const done = waiting.get(reply.id);
  waiting.delete(reply.id);
  if (waiting.size === 0) process.off("message", onMessage);
  done?.(reply, handle);
}

/** Paused: whoever takes it over reads its first byte. Without `timeoutMs` it waits as long as the kernel does. */
export function connectHere(host: string, port: number, timeoutMs = 0): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = new net.Socket().pause().setTimeout(timeoutMs);
    const late = () => socket.destroy(new Error(`no connection to ${host}:${port} within ${timeoutMs} ms`));
    socket.once("timeout", late).once("error", reject);
    socket.connect({ host, port }, () => resolve(socket.off("timeout", late).off("error", reject).setTimeout(0)));
  });
}

/** Opens host:port in this network namespace. */
export function listenHere(host: string, port: number): Promise<net.Server> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(new Error(`cannot listen on ${host}:${port}: ${error.code ?? error.message}`, { cause: error }));
    });
    server.listen({ host, port, exclusive: true }, () => resolve(server));
  });
}
