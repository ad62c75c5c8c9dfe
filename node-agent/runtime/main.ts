import { mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { resolve } from "node:path";
import { attempt } from "../../base/attempt.ts";
import { faultFlags, takeFaults } from "../../base/faults.ts";
import { FlagError, parseFlags } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { createRegistry } from "../../base/metrics.ts";
import { startOpsServer } from "../../base/ops-server.ts";
import { listenPrivately } from "../../base/private-socket.ts";
import { aborted, runProcess, StartError } from "../../base/process.ts";
import { systemRand } from "../../base/rand.ts";
import { readText } from "../../base/read-text.ts";
import { GrpcFront } from "../../net/grpc-front.ts";
import { ImageServiceService, RuntimeServiceService } from "../../proto/generated/runtime.v1.ts";
import { probeAbilities } from "./abilities.ts";
import { Cgroups } from "./cgroup.ts";
import { containerHandlers } from "./container-service.ts";
import { builtInImages, imageHost } from "./image-host.ts";
import { imageHandlers } from "./image-service.ts";
import { ImageCatalog } from "./images.ts";
import { parseImagesFile } from "./images-file.ts";
import { nodeHandlers } from "./node-service.ts";
import { Runtime } from "./runtime.ts";
import { sandboxHandlers, stopSandbox } from "./sandbox-service.ts";
import { hostView } from "./skeleton.ts";

const log = createLogger("runtime");

runProcess(log, async (signal) => {
  const flags = parseFlags(
    {
      listen: { type: "string", help: "where CRI is served: unix:///path" },
      "root-dir": { type: "string", help: "where sandboxes and containers are kept" },
      "node-name": { type: "string", help: "name of the node, for the log" },
      "node-ip": { type: "string", help: "the node's address: source of its connections to Pods" },
      mode: { type: "string", default: "netns", help: "netns: namespaces; host: plain processes, 127.0.0.0/8" },
      "images-file": { type: "string", optional: true, help: "host programs as images (deploy/images.yaml)" },
      "images-dir": { type: "string", help: "bundles of the built-in images (dist/images)" },
      ...faultFlags,
      "metrics-address": { type: "string", optional: true, help: "HOST:PORT of /healthz /livez /readyz /metrics" },
    },
    process.argv.slice(2),
  );
  const { mode } = flags;
  if (mode !== "netns" && mode !== "host") throw new FlagError(`flag --mode takes netns or host, not "${mode}"`);
  const { clock } = await takeFaults(flags["fault-socket"]);
  const socket = socketPath(flags.listen);
  mkdirSync(flags["root-dir"], { recursive: true, mode: 0o755 });
  const rootDir = realpathSync(flags["root-dir"]);
  const imagesDir = resolve(flags["images-dir"]);

  const abilities = await probeAbilities(mode);
  if (mode === "netns" && !enableForwarding()) abilities.missing.push("IP forwarding (Pods reach only their node)");
  const cgroups = new Cgroups(hostView().mounts, rootDir, clock);
  for (const missing of [...abilities.missing, ...cgroups.missing]) log.warn({ missing }, "Not possible here");

  const imagesFile = flags["images-file"];
  const hostPrograms = imagesFile === undefined ? [] : parseImagesFile(readFileSync(imagesFile, "utf8"), imagesFile);
  const images = new ImageCatalog([...builtInImages(imagesDir, mode), ...hostPrograms], imageHost);
  const common = { clock, rand: systemRand, log, abilities, cgroups, images };
  const runtime = new Runtime({ ...common, rootDir, mode, nodeIp: flags["node-ip"] });
  runtime.adopt();

  const server = new GrpcFront({ maxMessageBytes: criMessageBytes });
  server.addService(RuntimeServiceService, {
    ...nodeHandlers(runtime),
    ...sandboxHandlers(runtime),
    ...containerHandlers(runtime),
  });
  server.addService(ImageServiceService, imageHandlers(runtime, imagesDir));
  server.serve(await listenUnix(socket));
  const metricsAddress = flags["metrics-address"];
  if (metricsAddress !== undefined) {
    const [host, port] = [metricsAddress.replace(/:\d+$/, ""), Number(/:(\d+)$/.exec(metricsAddress)?.[1])];
    if (!Number.isInteger(port)) throw new FlagError(`flag --metrics-address takes HOST:PORT, not "${metricsAddress}"`);
    await startOpsServer({ host, port, registry: createRegistry(), notReady: () => undefined });
  }
  log.info({ node: flags["node-name"], mode, socket, rootDir }, "Serving CRI");

  await aborted(signal);
  await server.close();
  // Containers live on without us, but for mode host: no namespace ends with the lab there, and nothing else would end them.
  if (mode === "host") await Promise.all([...runtime.sandboxes.values()].map((each) => stopSandbox(runtime, each)));
  cgroups.close();
  rmSync(socket, { force: true });
});

/** The kernel cuts longer paths silently, and then somebody else's socket is opened. */
function socketPath(listen: string): string {
  const path = /^unix:\/\/(\/.+)$/.exec(listen)?.[1];
  if (path === undefined) throw new FlagError(`flag --listen takes unix:///path, not "${listen}"`);
  const bytes = Buffer.byteLength(path);
  if (bytes > 107)
    throw new FlagError(
      `flag --listen: a Unix socket path has at most 107 bytes, this one has ${bytes}: ${path}; choose a shorter directory`,
    );
  return path;
}

function enableForwarding(): boolean {
  const forwarding = "/proc/sys/net/ipv4/ip_forward";
  attempt(() => writeFileSync(forwarding, "1"));
  return readText(forwarding).trim() === "1";
}

/** A socket file that a killed runtime left is replaced; one that somebody answers on is not. */
async function listenUnix(path: string): Promise<net.Server> {
  const taken = await new Promise<boolean>((resolve) => {
    const probe = net.connect(path);
    probe.on("connect", () => resolve(true)).on("error", () => resolve(false));
    probe.on("connect", () => probe.destroy());
  });
  if (taken) throw new StartError(`--listen=unix://${path}: another process serves there; stop it first`);
  const server = net.createServer();
  await listenPrivately(server, path).catch((error: Error) => {
    throw new StartError(`cannot listen on unix://${path}: ${error.message}`);
  });
  return server;
}

/** As the kubelet and containerd have it. */
const criMessageBytes = 16 * 1024 * 1024;
