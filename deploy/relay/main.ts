import { readFileSync } from "node:fs";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";
import { sleep, systemClock } from "../../base/clock.ts";
import { faultFlags, takeFaults } from "../../base/faults.ts";
import { boolean, duration, list, optional, parseFlags, text } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { connectHere, connectOutside, listenHere, listenOutside } from "../../base/outside.ts";
import { aborted, runProcess, StartError } from "../../base/process.ts";
import { splitEndpoint } from "../lab/kubeconfig.ts";
import { type Answer, type Backend, Backends, checked, isIn } from "./backends.ts";

/**
 * Leads connections over the lab's border for programs that are not ours: from outside to a foreign member, or from the
 * apiserver to a store that runs elsewhere (with --cafile over TLS); or to whichever of several apiservers is well (with
 * --check-path). It keeps nothing: when one side closes, so does the other.
 */
const flagSpec = {
  route: list("LISTEN=TO, both HOST:PORT; TO may be several with |, in turn"),
  "listen-outside": boolean("LISTEN is outside the lab", false),
  "connect-outside": boolean("TO is outside the lab", false),
  cafile: optional("authority of the certificate at TO"),
  certfile: optional("our certificate towards it"),
  keyfile: optional("its key"),
  "connect-timeout": duration("after which the next of several is tried", 1000),
  "check-path": optional("a GET of it over TLS tells which of several are well: those that answer 200"),
  "check-cafile": optional("authority of the certificate of who is checked"),
  "check-servername": text("what that certificate is for", "kubernetes"),
  "check-interval": duration("between two checks, and how long one waits twice for an answer", 500),
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
      const backends = new Backends(to.split("|").map(splitEndpoint));
      const open = async (client: net.Socket): Promise<net.Socket> => {
        const { backend, socket } = await firstOf(backends.next(), async (backend) => ({
          backend,
          socket: await connect(backend.host, backend.port, flags["connect-timeout"]),
        }));
        backend.connections.add(client);
        client.once("close", () => backend.connections.delete(client));
        const { host } = backend;
        const servername = net.isIP(host) === 0 ? { servername: host } : {};
        return flags.cafile ? tls.connect({ ...secure, ...servername, host, socket, ALPNProtocols: ["h2"] }) : socket;
      };
      const { "check-path": path, "check-cafile": ca } = flags;
      if (path !== undefined && ca !== undefined) {
        const options = { path, ca: readFileSync(ca), servername: flags["check-servername"] };
        for (const backend of backends.all) void watch(backend, options, flags["check-interval"], signal);
      }
      const listener = splitEndpoint(from);
      const server = await listen(listener.host, listener.port);
      return server.on("connection", (socket: net.Socket) => relay(socket, open));
    }),
  );
  await aborted(signal);
  for (const server of servers) server.close();
  process.exit(0); // with what is open: it belongs to both sides
});

async function watch(
  backend: Backend,
  options: https.RequestOptions,
  intervalMs: number,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const answer = await check({ ...options, host: backend.host, port: backend.port }, 2 * intervalMs);
    const at = `${backend.host}:${backend.port}`;
    if (checked(backend, answer)) log.info({ at, answer }, isIn(backend) ? "In rotation again" : "Out of rotation");
    await sleep(systemClock, intervalMs, signal);
  }
}

/** A process that is stopped takes connections all the same: only an answer tells that it lives. */
function check(options: https.RequestOptions, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const request = https.get({ ...options, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200 ? "well" : "unwell");
    });
    const cancel = systemClock.after(timeoutMs, () => request.destroy(new Error("no answer")));
    request.on("error", () => resolve("silent")).on("close", cancel);
  });
}

/** The first that does not fail, tried in order; throws what the last one threw. */
async function firstOf<T, R>([one, ...rest]: T[], attempt: (one: T) => Promise<R>): Promise<R> {
  try {
    return await attempt(one!);
  } catch (error) {
    if (rest.length === 0) throw error;
    return firstOf(rest, attempt);
  }
}

function relay(socket: net.Socket, open: (client: net.Socket) => Promise<net.Socket>): void {
  socket.pause();
  socket.on("error", () => {});
  open(socket).then(
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
