import net from "node:net";

/**
 * Listeners outside the lab. A lab lives in its own network namespace; what people on the machine reach (member
 * clients, apiserver, NodePorts) listens outside it. A process asks its supervisor over the IPC channel it was started
 * with; the supervisor opens the socket outside and hands it over (a listening socket keeps the namespace it was made
 * in). The asker alone holds it then: when the process dies, the kernel refuses connections at once.
 *
 * Wire, JSON over Node's IPC channel:
 *   child -> supervisor  { type: "listen", id, host, port }
 *   supervisor -> child  { type: "listening", id } + net.Server handle, or { type: "listening", id, error }
 */
export interface ListenRequest {
  type: "listen";
  id: number;
  host: string;
  port: number;
}

export interface ListenReply {
  type: "listening";
  id: number;
  error?: string;
}

let lastId = 0;
const waiting = new Map<number, (reply: ListenReply, server?: net.Server) => void>();

/**
 * A server that listens on host:port outside the lab, or in this process's own network when no supervisor is there.
 * Throws when the address cannot be had; the message names it.
 */
export function listenOutside(host: string, port: number): Promise<net.Server> {
  if (process.send === undefined) return listenHere(host, port);
  if (waiting.size === 0) process.on("message", onMessage);
  const id = ++lastId;
  return new Promise((resolve, reject) => {
    waiting.set(id, (reply, server) => {
      if (server !== undefined) resolve(server);
      else reject(new Error(reply.error ?? `no listener for ${host}:${port} came back`));
    });
    process.send!({ type: "listen", id, host, port } satisfies ListenRequest);
  });
}

function onMessage(message: unknown, handle: unknown): void {
  const reply = message as ListenReply;
  if (reply?.type !== "listening") return;
  const done = waiting.get(reply.id);
  waiting.delete(reply.id);
  if (waiting.size === 0) process.off("message", onMessage);
  done?.(reply, handle as net.Server | undefined);
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
