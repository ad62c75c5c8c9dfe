import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { resources } from "../api/resources.ts";
import { systemClock } from "../base/clock.ts";
import { faultFlags, takeFaults } from "../base/faults.ts";
import { parseFlags } from "../base/flags.ts";
import { createLogger } from "../base/logger.ts";
import { createRegistry } from "../base/metrics.ts";
import { listenHere, listenOutside } from "../base/outside.ts";
import { aborted, runProcess, StartError } from "../base/process.ts";
import { EtcdClient } from "../etcd-raft/client/client.ts";
import { readTls } from "../net/tls.ts";
import { imagePolicyOf } from "./admission/image-policy.ts";
import { frontsOf } from "./fronts.ts";
import { auditAndEncryption, securityFlags, securityOptions } from "./security-flags.ts";
import { Apiserver } from "./server.ts";

/** The apiserver as a process: flags, certificates, sockets. */
const log = createLogger("apiserver");

runProcess(log, async (signal) => {
  const flags = parseFlags(
    {
      "etcd-servers": { type: "strings", help: "URLs of the store's members" },
      "etcd-cafile": { type: "string", optional: true, help: "who signs the store's certificates" },
      "etcd-certfile": { type: "string", optional: true, help: "client certificate towards the store" },
      "etcd-keyfile": { type: "string", optional: true, help: "key of --etcd-certfile" },
      "etcd-compaction-interval": {
        type: "duration",
        default: 300_000,
        help: "history older than this is forgotten; 0 keeps all",
      },
      "bind-address": { type: "string", default: "127.0.0.1", help: "address of both ports" },
      "secure-port": { type: "number", default: 6443, help: "port of the REST API; 0 picks one" },
      "grpc-port": { type: "number", default: 6444, help: "port of the gRPC API; 0 picks one" },
      "advertise-address": {
        type: "string",
        optional: true,
        help: "where the Service kubernetes leads (default --bind-address)",
      },
      "client-ca-file": { type: "string", help: "who signs the clients' certificates" },
      "tls-cert-file": { type: "string", help: "serving certificate" },
      "tls-private-key-file": { type: "string", help: "key of --tls-cert-file" },
      "kubelet-client-certificate": { type: "string", optional: true, help: "client certificate towards the agents" },
      "kubelet-client-key": { type: "string", optional: true, help: "key of --kubelet-client-certificate" },
      "kubelet-certificate-authority": { type: "string", optional: true, help: "who signs the agents' certificates" },
      "proxy-client-cert-file": { type: "string", optional: true, help: "client certificate towards aggregated APIs" },
      "proxy-client-key-file": { type: "string", optional: true, help: "key of --proxy-client-cert-file" },
      "service-cluster-ip-range": { type: "string", default: "10.96.0.0/12", help: "addresses of Services" },
      "service-node-port-range": { type: "string", default: "30000-32767", help: "node ports of Services" },
      "default-not-ready-toleration-seconds": { type: "number", default: 300, help: "given to Pods that name none" },
      "default-unreachable-toleration-seconds": { type: "number", default: 300, help: "given to Pods that name none" },
      "max-requests-inflight": { type: "number", default: 400, help: "reading requests at once; a part of the seats" },
      "max-mutating-requests-inflight": {
        type: "number",
        default: 200,
        help: "writing requests at once; the other part",
      },
      "enable-priority-and-fairness": { type: "boolean", default: true, help: "seats and queues by FlowSchemas" },
      "request-timeout": { type: "duration", default: 60_000, help: "time that a request has" },
      "min-request-timeout": { type: "number", default: 1800, help: "least seconds that a watch stays open" },
      "allow-loopback-endpoints": { type: "boolean", default: false, help: "for labs in host mode" },
      "enable-admission-plugins": {
        type: "strings",
        default: [],
        help: "plug-ins besides those that are on by default",
      },
      "admission-control-config-file": { type: "string", optional: true, help: "configuration of plug-ins" },
      "disable-admission-plugins": { type: "strings", default: [], help: "plug-ins to leave out" },
      ...securityFlags,
      "listen-outside": {
        type: "string",
        optional: true,
        help: "listen on both ports of this address outside the lab as well",
      },
      ...faultFlags,
    },
    process.argv.slice(2),
  );
  const { clock, faults } = await takeFaults(flags["fault-socket"]).catch(asStartError);
  const files = (caFile?: string, certFile?: string, keyFile?: string) =>
    caFile && certFile && keyFile ? readTls({ caFile, certFile, keyFile }) : undefined;
  const tls = readTls({
    caFile: flags["client-ca-file"],
    certFile: flags["tls-cert-file"],
    keyFile: flags["tls-private-key-file"],
  });
  if (flags["etcd-servers"].length === 0)
    throw new StartError("flag --etcd-servers is required: URLs of the store's members");
  const etcdTls = files(flags["etcd-cafile"], flags["etcd-certfile"], flags["etcd-keyfile"]);
  const etcd = new EtcdClient({ endpoints: flags["etcd-servers"], ...(etcdTls ? { tls: etcdTls } : {}) });
  const host = flags["bind-address"];
  const advertised = flags["advertise-address"] ?? host;
  if (/^127\.|^::1$/.test(advertised) && !flags["allow-loopback-endpoints"])
    throw new StartError(
      `--advertise-address ${advertised} is a loopback address, where no endpoint may lead: give another one, or --allow-loopback-endpoints`,
    );
  const listen = (port: number) => listenHere(host, port).catch(asStartError);
  const secure = await listen(flags["secure-port"]);
  const securePort = (secure.address() as AddressInfo).port;
  const frontProxyCa = flags["requestheader-client-ca-file"];
  const apiserver = createApiserver();
  const fronts = frontsOf(apiserver, tls, log, frontProxyCa ? readFileSync(frontProxyCa) : undefined, faults);
  fronts.http.serve(secure);
  const grpc = await listen(flags["grpc-port"]);
  fronts.grpc.serve(grpc);
  const outside = flags["listen-outside"];
  if (outside !== undefined) {
    fronts.http.serve(await listenOutside(outside, securePort).catch(asStartError));
    fronts.grpc.serve(await listenOutside(outside, flags["grpc-port"]).catch(asStartError));
  }
  log.info({ host, securePort, grpcPort: (grpc.address() as AddressInfo).port }, "Serving securely");

  const started = apiserver.start(signal).then(() => {
    if (!signal.aborted) log.info({}, "Ready");
  });
  await Promise.race([aborted(signal), started.then(() => aborted(signal))]);
  await apiserver.stop();
  fronts.http.close();
  await fronts.grpc.close(200);
  etcd.close();

  function createApiserver(): Apiserver {
    try {
      return new Apiserver({
        etcd,
        allowLoopbackEndpoints: flags["allow-loopback-endpoints"],
        resources: resources({ allowLoopbackEndpoints: flags["allow-loopback-endpoints"] }),
        compactionIntervalMs: flags["etcd-compaction-interval"],
        serviceClusterIPRange: flags["service-cluster-ip-range"],
        serviceNodePortRange: flags["service-node-port-range"],
        tolerationSeconds: {
          notReady: flags["default-not-ready-toleration-seconds"],
          unreachable: flags["default-unreachable-toleration-seconds"],
        },
        admissionPlugins: {
          enable: flags["enable-admission-plugins"],
          disable: flags["disable-admission-plugins"],
          imagePolicy: flags["admission-control-config-file"]
            ? imagePolicyOf(flags["admission-control-config-file"])
            : undefined,
        },
        advertise: { address: advertised, port: securePort },
        security: securityOptions(flags, flags["client-ca-file"]),
        flowControl: {
          fair: flags["enable-priority-and-fairness"],
          maxRequestsInFlight: flags["max-requests-inflight"],
          maxMutatingRequestsInFlight: flags["max-mutating-requests-inflight"],
          requestTimeoutMs: flags["request-timeout"],
        },
        minRequestTimeoutMs: flags["min-request-timeout"] * 1000,
        ...auditAndEncryption(flags, systemClock, log),
        kubelet: files(
          flags["kubelet-certificate-authority"],
          flags["kubelet-client-certificate"],
          flags["kubelet-client-key"],
        ),
        proxyClient:
          flags["proxy-client-cert-file"] && flags["proxy-client-key-file"]
            ? {
                cert: readFileSync(flags["proxy-client-cert-file"]),
                key: readFileSync(flags["proxy-client-key-file"]),
              }
            : undefined,
        metrics: createRegistry(),
        log,
        clock,
      });
    } catch (error) {
      if (error instanceof RangeError || (error as NodeJS.ErrnoException).code)
        throw new StartError((error as Error).message);
      throw error;
    }
  }
});

function asStartError(error: Error): never {
  throw new StartError(error.message);
}
