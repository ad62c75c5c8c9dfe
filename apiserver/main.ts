import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { resources } from "../api/resources.ts";
import { systemClock } from "../base/clock.ts";
import { faultFlags, takeFaults } from "../base/faults.ts";
import { boolean, duration, list, number, optional, parseFlags, text } from "../base/flags.ts";
import { createLogger } from "../base/logger.ts";
import { createRegistry } from "../base/metrics.ts";
import { listenHere, listenOutside } from "../base/outside.ts";
import { aborted, runProcess, StartError } from "../base/process.ts";
import { EtcdClient } from "../etcd-raft/client/client.ts";
import { readTls } from "../net/tls.ts";
import { imagePolicyOf } from "./admission/image-policy.ts";
import { podSecurityOf } from "./admission/pod-security.ts";
import { frontsOf } from "./fronts.ts";
import { auditAndEncryption, securityFlags, securityOptions } from "./security-flags.ts";
import { Apiserver } from "./server.ts";

/** The apiserver as a process: flags, certificates, sockets. */
const log = createLogger("apiserver");

runProcess(log, async (signal) => {
  const flags = parseFlags(
    {
      "etcd-servers": list("URLs of the store's members"),
      "etcd-cafile": optional("who signs the store's certificates"),
      "etcd-certfile": optional("client certificate towards the store"),
      "etcd-keyfile": optional("key of --etcd-certfile"),
      "etcd-compaction-interval": duration("history older than this is forgotten; 0 keeps all", 300_000),
      "bind-address": text("address of both ports", "127.0.0.1"),
      "secure-port": number("port of the REST API; 0 picks one", 6443),
      "grpc-port": number("port of the gRPC API; 0 picks one", 6444),
      "advertise-address": optional("where the Service kubernetes leads (default --bind-address)"),
      "client-ca-file": text("who signs the clients' certificates"),
      "tls-cert-file": text("serving certificate"),
      "tls-private-key-file": text("key of --tls-cert-file"),
      "kubelet-client-certificate": optional("client certificate towards the agents"),
      "kubelet-client-key": optional("key of --kubelet-client-certificate"),
      "kubelet-certificate-authority": optional("who signs the agents' certificates"),
      "proxy-client-cert-file": optional("client certificate towards aggregated APIs"),
      "proxy-client-key-file": optional("key of --proxy-client-cert-file"),
      "service-cluster-ip-range": text("addresses of Services", "10.96.0.0/12"),
      "service-node-port-range": text("node ports of Services", "30000-32767"),
      "default-not-ready-toleration-seconds": number("given to Pods that name none", 300),
      "default-unreachable-toleration-seconds": number("given to Pods that name none", 300),
      "max-requests-inflight": number("reading requests at once; a part of the seats", 400),
      "max-mutating-requests-inflight": number("writing requests at once; the other part", 200),
      "enable-priority-and-fairness": boolean("seats and queues by FlowSchemas", true),
      "request-timeout": duration("time that a request has", 60_000),
      "min-request-timeout": number("least seconds that a watch stays open", 1800),
      "allow-loopback-endpoints": boolean("for labs in host mode", false),
      "enable-admission-plugins": list("plug-ins besides those that are on by default"),
      "admission-control-config-file": optional("configuration of plug-ins"),
      "disable-admission-plugins": list("plug-ins to leave out"),
      ...securityFlags,
      "listen-outside": optional("listen on both ports of this address outside the lab as well"),
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
  const etcd = new EtcdClient({ endpoints: flags["etcd-servers"], ...(etcdTls ? { tls: etcdTls } : {}), faults });
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
  const fronts = frontsOf(apiserver, tls, log, frontProxyCa ? readFileSync(frontProxyCa) : undefined);
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
  await apiserver.stop(() => {
    fronts.http.close();
    return fronts.grpc.close(200);
  });
  etcd.close();

  function createApiserver(): Apiserver {
    const pluginConfig = flags["admission-control-config-file"];
    const [proxyCert, proxyKey] = [flags["proxy-client-cert-file"], flags["proxy-client-key-file"]];
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
          imagePolicy: pluginConfig ? imagePolicyOf(pluginConfig) : undefined,
          podSecurity: pluginConfig ? podSecurityOf(pluginConfig) : undefined,
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
        proxyClient: proxyCert && proxyKey ? { cert: readFileSync(proxyCert), key: readFileSync(proxyKey) } : undefined,
        faults,
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
