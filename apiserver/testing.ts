import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resources } from "../api/resources.ts";
import { type Logger, silentLogger } from "../base/logger.ts";
import { createRegistry } from "../base/metrics.ts";
import { listenHere } from "../base/outside.ts";
import { EtcdClient } from "../etcd-raft/client/client.ts";
import { startTestMember } from "../etcd-raft/server/testing.ts";
import type { TlsMaterial } from "../net/tls.ts";
import { type Authority, createAuthority } from "../pki/authority.ts";
import { defaultFlowControl, type FlowControlOptions } from "./flowcontrol/flow-control.ts";
import { frontsOf } from "./fronts.ts";
import type { SecurityOptions } from "./security.ts";
import { Apiserver, type ApiserverOptions } from "./server.ts";
import type { Encryption } from "./storage/encryption.ts";

/**
 * A whole apiserver for tests, in this process, over a one-member store of its own: real sockets on the loopback, mutual
 * TLS, system objects written.
 *
 *     const server = await startTestApiserver();
 *     const client = createGrpcClient({ servers: [server.grpcAddress], tls: server.certs.scheduler });
 *     execFileSync("kubectl", ["--kubeconfig", server.kubeconfig, "get", "pods"]);
 *     await server.close();
 */
export interface TestApiserver {
  /** `https://127.0.0.1:port` */
  url: string;
  /** `127.0.0.1:port` */
  grpcAddress: string;
  certs: TestCerts;
  /** Of the admin. */
  kubeconfig: string;
  /** Where the certificates lie as files: `ca.crt`, `admin.crt`, `admin.key`, ... */
  dir: string;
  authority: Authority;
  /** The store below. */
  etcd: EtcdClient;
  etcdEndpoints: readonly string[];
  close(): Promise<void>;
}

export interface TestCerts {
  admin: TlsMaterial;
  controllerManager: TlsMaterial;
  scheduler: TlsMaterial;
  proxy: TlsMaterial;
  /** system:node:NAME */
  node(name: string): Promise<TlsMaterial>;
}

export interface TestApiserverOptions {
  allowLoopbackEndpoints?: boolean;
  tolerationSeconds?: number;
  /** Without ServiceAccount, which would wait for a controller, unless asked for. */
  admissionPlugins?: ConstructorParameters<typeof Apiserver>[0]["admissionPlugins"];
  serviceClusterIPRange?: string;
  log?: Logger;
  security?: SecurityOptions;
  flowControl?: Partial<FlowControlOptions>;
  frontProxyCa?: Buffer;
  proxyClient?: { cert: Buffer; key: Buffer };
  encryption?: Encryption;
  audit?: ApiserverOptions["audit"];
  /** A store that is there already; its owner closes it. */
  etcdEndpoints?: readonly string[];
  etcdTls?: TlsMaterial;
  /** Of the endpoints of the Service kubernetes: each apiserver has its own. */
  advertiseAddress?: string;
  /** To come back as the same server. */
  authority?: Authority;
  port?: number;
}

export async function startTestApiserver(options: TestApiserverOptions = {}): Promise<TestApiserver> {
  const dir = mkdtempSync(join(tmpdir(), "apiserver-"));
  const log = options.log ?? silentLogger;
  const store = options.etcdEndpoints === undefined ? await startTestMember() : undefined;
  const etcdEndpoints = options.etcdEndpoints ?? [store!.endpoint];
  const etcd = new EtcdClient({ endpoints: etcdEndpoints, ...(options.etcdTls ? { tls: options.etcdTls } : {}) });
  const authority = options.authority ?? (await createAuthority("kubernetes"));
  const ca = Buffer.from(authority.cert);
  const pair = async (request: Parameters<Authority["issue"]>[0]): Promise<TlsMaterial> => {
    const { cert, key } = await authority.issue(request);
    return { cert: Buffer.from(cert), key: Buffer.from(key), ca };
  };
  const client = (commonName: string, ...organizations: string[]) =>
    pair({ commonName, organizations, usages: ["client"] });
  const serving = await pair({
    commonName: "kube-apiserver",
    dnsNames: ["localhost", "kubernetes"],
    ipAddresses: ["127.0.0.1"],
    usages: ["server"],
  });
  const [admin, controllerManager, scheduler, proxy, kubelet] = await Promise.all([
    client("kubernetes-admin", "system:masters"),
    client("system:kube-controller-manager"),
    client("system:kube-scheduler"),
    client("system:kube-proxy"),
    client("kube-apiserver-kubelet-client", "system:masters"),
  ]);
  const https = await listenHere("127.0.0.1", options.port ?? 0);
  const grpc = await listenHere("127.0.0.1", 0);
  const portOf = (server: typeof https) => (server.address() as AddressInfo).port;
  const allowLoopbackEndpoints = options.allowLoopbackEndpoints ?? true;
  const seconds = options.tolerationSeconds ?? 300;
  const apiserver = new Apiserver({
    etcd,
    allowLoopbackEndpoints,
    resources: resources({ allowLoopbackEndpoints }),
    serviceClusterIPRange: options.serviceClusterIPRange ?? "10.96.0.0/12",
    serviceNodePortRange: "30000-32767",
    tolerationSeconds: { notReady: seconds, unreachable: seconds },
    admissionPlugins: options.admissionPlugins ?? { disable: ["ServiceAccount"] },
    advertise: {
      address: options.advertiseAddress ?? (allowLoopbackEndpoints ? "127.0.0.1" : "192.0.2.1"),
      port: portOf(https),
    },
    kubelet,
    flowControl: { ...defaultFlowControl, ...options.flowControl },
    security: {
      serviceAccounts: {
        issuers: ["https://kubernetes.default.svc.cluster.local"],
        signingKey: authority.key,
        keys: [],
        audiences: [],
      },
      bootstrapTokens: true,
      published: { "client-ca-file": authority.cert },
      ...options.security,
    },
    encryption: options.encryption,
    audit: options.audit,
    proxyClient: options.proxyClient,
    metrics: createRegistry(),
    log,
  });
  const fronts = frontsOf(apiserver, serving, log, options.frontProxyCa);
  fronts.http.serve(https);
  fronts.grpc.serve(grpc);
  const stopping = new AbortController();
  await apiserver.start(stopping.signal);

  const url = `https://127.0.0.1:${portOf(https)}`;
  writeFileSync(join(dir, "ca.crt"), ca);
  writeFileSync(join(dir, "admin.crt"), admin.cert);
  writeFileSync(join(dir, "admin.key"), admin.key, { mode: 0o600 });
  const kubeconfig = join(dir, "kubeconfig");
  writeFileSync(kubeconfig, kubeconfigOf(url, ca, admin), { mode: 0o600 });
  return {
    url,
    grpcAddress: `127.0.0.1:${portOf(grpc)}`,
    certs: {
      admin,
      controllerManager,
      scheduler,
      proxy,
      node: (name) => client(`system:node:${name}`, "system:nodes"),
    },
    kubeconfig,
    dir,
    authority,
    etcd,
    etcdEndpoints,
    async close() {
      stopping.abort();
      await apiserver.stop(() => {
        fronts.http.close();
        return fronts.grpc.close(0);
      });
      etcd.close();
      await store?.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** A kubeconfig with everything in it, for one cluster and one user. */
function kubeconfigOf(server: string, ca: Buffer, { cert, key }: TlsMaterial): string {
  const base64 = (bytes: Buffer) => bytes.toString("base64");
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server, "certificate-authority-data": base64(ca) } }],
    users: [{ name: "test", user: { "client-certificate-data": base64(cert), "client-key-data": base64(key) } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
    "current-context": "test",
  });
}
