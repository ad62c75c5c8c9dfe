import type { Duplex } from "node:stream";
import type { Cancel, Clock } from "../../base/clock.ts";

/**
 * Leads `client` to the first of some servers that answers. A process that is stopped takes connections all the same:
 * only an answer tells that it lives. While the client has done no more than greet (a ClientHello asks for nothing, so
 * it may be heard twice), the next one hears the same greeting after `patienceMs`, or at once when one fails. Who is the
 * only one left, or has heard more, keeps the connection. When one side closes, so does the other, once it has all.
 */
export function race<T>(
  client: Duplex,
  list: readonly T[],
  { clock, patienceMs, connect }: { clock: Clock; patienceMs: number; connect(one: T): Promise<Duplex> },
): void {
  const left = [...list];
  /** Without a socket while it connects. */
  const running = new Map<T, Duplex | undefined>();
  const sockets = () => [...running.values()].filter((socket) => socket !== undefined);
  let said: Buffer = Buffer.alloc(0);
  let over = false;
  let cancel: Cancel = () => {};

  const win = (winner: Duplex | undefined) => {
    if (over) return;
    over = true;
    cancel();
    client.off("data", hear);
    for (const socket of sockets()) if (socket !== winner) socket.destroy();
    if (winner === undefined) return void client.destroy();
    for (const [from, to] of [
      [winner, client],
      [client, winner],
    ] as const) {
      from.on("close", () => from.readableEnded || to.destroy()); // who said all leaves it on its way
      from.pipe(to);
    }
  };
  const settle = () => {
    const choices = running.size + left.length;
    const [one] = sockets();
    if (choices === 0) win(undefined);
    else if (one && (choices === 1 || !isGreeting(said))) win(one);
  };
  const next = () => {
    const one = left.shift();
    if (over || one === undefined) return;
    running.set(one, undefined);
    const failed = () => {
      running.delete(one);
      next();
      settle();
    };
    connect(one).then((socket) => {
      if (over) return void socket.destroy();
      running.set(one, socket);
      socket.on("error", () => {}).on("close", failed);
      socket.once("readable", () => (socket.readableLength > 0 ? win(socket) : socket.destroy()));
      socket.write(said);
      settle();
    }, failed);
  };
  function hear(chunk: Buffer): void {
    if (said.length === 0) cancel = clock.every(patienceMs, next);
    said = Buffer.concat([said, chunk]);
    for (const socket of sockets()) socket.write(chunk);
    settle();
  }
  client.on("error", () => {}).on("close", () => win(undefined));
  client.on("data", hear);
  next();
}

/** Nothing but records of a TLS handshake (type 22; RFC 8446, 5.1), the last perhaps in part. */
export function isGreeting(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) {
    if (bytes[at] !== 22) return false;
    if (at + 5 > bytes.length) return true;
  }
  return true;
}
