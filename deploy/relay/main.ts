import { readFileSync } from "node:fs";
import https from "node:https";
import net from "node:net";
import type { Duplex } from "node:stream";
import tls from "node:tls";
import { sleep, systemClock } from "../../base/clock.ts";
import { faultFlags, takeFaults } from "../../base/faults.ts";
import { boolean, duration, list, optional, parseFlags, text } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { connectHere, connectOutside, listenHere, listenOutside } from "../../base/outside.ts";
import { aborted, runProcess, StartError } from "../../base/process.ts";
import { faultyAgent, underFaults } from "../../net/faulty-link.ts";
import { splitEndpoint } from "../lab/kubeconfig.ts";
import { type Answer, type Backend, Backends, checked, isIn } from "./backends.ts";
import { race } from "./race.ts";

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
  "connect-timeout": duration("of a connection to TO", 1000),
  "answer-timeout": duration("after which the next of several gets the client's greeting, too", 300),
  "check-path": optional("a GET of it over TLS tells which of several are well: those that answer 200"),
  "check-cafile": optional("authority of the certificate of who is checked"),
  "check-servername": text("what that certificate is for", "kubernetes"),
  "check-interval": duration("between two checks, and how long one waits twice for an answer", 500),
  ...faultFlags,
} as const;
const log = createLogger("relay");

runProcess(log, async (signal) => {
  const flags = parseFlags(flagSpec, process.argv.slice(2));
  const { faults } = await takeFaults(flags["fault-socket"]);
  const files = { ca: flags.cafile, cert: flags.certfile, key: flags.keyfile };
  const secure = Object.fromEntries(
    Object.entries(files).flatMap(([name, file]) => (file ? [[name, readFileSync(file)]] : [])),
  );
  const patienceMs = flags["answer-timeout"];
  const listen = flags["listen-outside"] ? listenOutside : listenHere;
  const connect = flags["connect-outside"] ? connectOutside : connectHere;
  const servers = await Promise.all(
    flags.route.map(async (route) => {
      const [from = "", to = ""] = route.split("=");
      if (to === "") throw new StartError(`flag --route: "${route}" is not LISTEN=TO`);
      const backends = new Backends(to.split("|").map(splitEndpoint));
      const open = async (backend: Backend): Promise<Duplex> => {
        const { host, port } = backend;
        const socket = (await connect(host, port, flags["connect-timeout"])).setNoDelay(true);
        backend.connections.add(socket);
        socket.once("close", () => backend.connections.delete(socket));
        const servername = net.isIP(host) === 0 ? { servername: host } : {};
        const over = { ...secure, ...servername, host, socket, ALPNProtocols: ["h2"] };
        return underFaults(flags.cafile ? tls.connect(over) : socket, faults, [host]);
      };
      const { "check-path": path, "check-cafile": ca } = flags;
      if (path !== undefined && ca !== undefined) {
        const agent = faultyAgent(new https.Agent(), faults);
        const options = { path, ca: readFileSync(ca), servername: flags["check-servername"], agent };
        for (const backend of backends.all) void watch(backend, options, flags["check-interval"], signal);
      }
      const listener = splitEndpoint(from);
      const server = await listen(listener.host, listener.port);
      return server.on("connection", (client: net.Socket) => {
        race(client.setNoDelay(true), backends.next(), { clock: systemClock, patienceMs, connect: open });
      });
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
    const request = https.get(options, (response) => {
      response.resume();
      resolve(response.statusCode === 200 ? "well" : "unwell");
    });
    const cancel = systemClock.after(timeoutMs, () => request.destroy(new Error("no answer")));
    request.on("error", () => resolve("silent")).on("close", cancel);
  });
}
