import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";
import { faultFlags, takeFaults } from "../../base/faults.ts";
import { parseFlags } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { connectHere, connectOutside, listenHere, listenOutside } from "../../base/outside.ts";
import { aborted, runProcess, StartError } from "../../base/process.ts";
import { splitEndpoint } from "../lab/kubeconfig.ts";

/**
 * Leads connections over the lab's border for programs that are not ours: from outside to a foreign member, or from the
 * apiserver to a store that runs elsewhere (with --cafile over TLS); or to whichever of several apiservers can be reached.
 * It ends nothing and keeps nothing: when one side closes, so does the other.
 */
const flagSpec = {
  route: { type: "strings", help: "LISTEN=TO, both HOST:PORT; TO may be several with |, in turn" },
  "listen-outside": { type: "boolean", default: false, help: "LISTEN is outside the lab" },
  "connect-outside": { type: "boolean", default: false, help: "TO is outside the lab" },
  cafile: { type: "string", optional: true, help: "authority of the certificate at TO" },
  certfile: { type: "string", optional: true, help: "our certificate towards it" },
  keyfile: { type: "string", optional: true, help: "its key" },
  ...faultFlags,
} as const;
const log = createLogger("relay");

runProcess(log, async (signal) => {
  const flags = parseFlags(flagSpec, process.argv.slice(2));
  await takeFaults(flags["fault-socket"]);
  const files = { ca: flags.cafile, cert: flags.certfile, key: flags.keyfile };
  const secure = Object.fromEntries(
    Object.entries(files).flatMap(([name, file]) => (file ? [[name, readFileSync(file)]] : [])),
  );
  const listen = flags["listen-outside"] ? listenOutside : listenHere;
  const connect = flags["connect-outside"] ? connectOutside : connectHere;
  const servers = await Promise.all(
    flags.route.map(async (route) => {
      const [from = "", to = ""] = route.split("=");
      if (to === "") throw new StartError(`flag --route: "${route}" is not LISTEN=TO`);
      const targets = to.split("|").map(splitEndpoint);
      let turn = 0;
      const open = async (): Promise<net.Socket> => {
        const first = turn++;
        const inTurn = targets.map((_, i) => targets[(first + i) % targets.length]!);
        const { host, socket } = await firstOf(inTurn, async (at) => ({
          ...at,
          socket: await connect(at.host, at.port),
        }));
        const servername = net.isIP(host) === 0 ? { servername: host } : {};
        return flags.cafile ? tls.connect({ ...secure, ...servername, host, socket, ALPNProtocols: ["h2"] }) : socket;
      };
      const listener = splitEndpoint(from);
      const server = await listen(listener.host, listener.port);
      return server.on("connection", (socket: net.Socket) => relay(socket, open));
    }),
  );
  await aborted(signal);
  for (const server of servers) server.close();
  process.exit(0); // with what is open: it belongs to both sides
});

/** The first that does not fail, tried in order; throws what the last one threw. */
async function firstOf<T, R>([one, ...rest]: T[], attempt: (one: T) => Promise<R>): Promise<R> {
  try {
    return await attempt(one!);
  } catch (error) {
    if (rest.length === 0) throw error;
    return firstOf(rest, attempt);
  }
}

function relay(socket: net.Socket, open: () => Promise<net.Socket>): void {
  socket.pause();
  socket.on("error", () => {});
  open().then(
    (other) => {
      const close = () => {
        socket.destroy();
        other.destroy();
      };
      for (const one of [socket, other]) one.setNoDelay(true).on("error", close).on("close", close);
      if (socket.destroyed) return close();
      socket.pipe(other);
      other.pipe(socket);
    },
    (err) => {
      log.debug({ err }, "No connection");
      socket.destroy();
    },
  );
}
