import type { ChildProcess } from "node:child_process";
import { connectHere, listenHere, type OutsideReply, type OutsideRequest } from "../../base/outside.ts";

/**
 * The other end of `base/outside.ts`: opens sockets on the machine for processes that live inside, and gives them away. Our own copy is closed at once, so that a port refuses as soon as its holder is dead.
 *
 * Between opening and giving away no turn of the event loop passes while the channel is free, so no connection is
 * accepted here; one that slips in while it is busy is reset, and the caller tries again.
 */
export function serveOutsideRequests(
  child: ChildProcess,
  allowed: (type: OutsideRequest["type"], host: string, port: number) => boolean,
  onListening: (host: string, port: number) => void,
): void {
  child.on("message", async (message: OutsideRequest) => {
    if (message?.type !== "listen" && message?.type !== "connect") return;
    const { type, id, host, port } = message;
    const reply: OutsideReply = { type: "outside", id };
    const refuse = (error: string) => void (child.connected && child.send({ ...reply, error }, () => {}));
    if (!allowed(type, host, port)) return refuse(`${host} is not an address of this lab`);
    try {
      if (type === "connect") return void child.send(reply, await connectHere(host, port), () => {});
      const server = await listenHere(host, port);
      server.on("connection", (socket) => socket.destroy());
      child.send(reply, server, () => server.close());
      onListening(host, port);
    } catch (error) {
      refuse((error as Error).message);
    }
  });
}
