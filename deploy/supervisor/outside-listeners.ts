import type { ChildProcess } from "node:child_process";
import { type ListenReply, type ListenRequest, listenHere } from "../../base/outside.ts";

/**
 * The other end of `base/outside.ts`: opens listeners on the machine for processes that live inside, and gives the
 * sockets away. Our own copy is closed at once, so that a port refuses as soon as its holder is dead.
 *
 * Between opening and giving away no turn of the event loop passes while the channel is free, so no connection is
 * accepted here; one that slips in while it is busy is reset, and the caller tries again.
 */
export function serveListenRequests(
  child: ChildProcess,
  allowed: (host: string) => boolean,
  onListening: (host: string, port: number) => void,
): void {
  child.on("message", async (message: ListenRequest) => {
    if (message?.type !== "listen") return;
    const { id, host, port } = message;
    const reply: ListenReply = { type: "listening", id };
    if (!allowed(host)) return send(child, { ...reply, error: `${host} is not an address of this lab` });
    try {
      const server = await listenHere(host, port);
      server.on("connection", (socket) => socket.destroy());
      child.send(reply, server, () => server.close());
      onListening(host, port);
    } catch (error) {
      send(child, { ...reply, error: (error as Error).message });
    }
  });
}

function send(child: ChildProcess, reply: ListenReply): void {
  if (child.connected) child.send(reply, () => {});
}
