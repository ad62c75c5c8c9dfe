import { join } from "node:path";
import { addressesOf, nodePortRange, ports, relayOffset } from "./addresses.ts";
import { apiserverNames, hasBalancer, type LabFile, type TlsFiles } from "./lab-file.ts";
import { faultSocket, type LabPaths, runtimeRoot, runtimeSocket } from "./paths.ts";
import { presets } from "./presets.ts";

/** One process of a lab: what the supervisor calls it, which network it lives in, and how it is started. */
export interface ProcessSpec {
  /** `etcd-1`, `apiserver-1`, `controller-manager`, `scheduler`, `node-1/agent`. */
  name: string;
  /** The network namespace it lives in: its own, or its node's. */
  place: string;
  /** Bundle under `dist/`; of a foreign one, the path of the program. */
  program: string;
  foreign?: boolean;
  args: string[];
}

/** Every bundle that a lab needs. */
export const programs = [
  "etcd-raft",
  "apiserver",
  "controller-manager",
  "scheduler",
  "runtime",
  "node-agent",
  "proxy",
  "relay",
];

/** What the package brings: bundles and the table of host programs. */
export interface Programs {
  dist: string;
  imagesFile: string;
}

export const memberNames = (lab: LabFile): string[] => count(lab.members, (i) => `etcd-${i}`);
/** Does another program run as this member? */
export const isForeign = (lab: LabFile, name: string): lab is LabFile & { store: { binary: string } } =>
  lab.store !== undefined && "binary" in lab.store && memberNames(lab).includes(name);
export const nodeNames = (lab: LabFile): string[] => count(lab.nodes, (n) => `node-${n}`);

/**
 * Every process of the lab with all its flags. In mode `host` one proxy serves all nodes: they share one network, where
 * a Service address can be bound once.
 */
export function processesOf(lab: LabFile, paths: LabPaths, programs: Programs): ProcessSpec[] {
  const host = lab.mode === "host";
  const all = [
    ...count(lab.members, (i) => member(lab, paths, i)),
    ...relays(lab),
    ...apiserverNames(lab).map((_, i) => apiserver(lab, paths, i + 1)),
    ...(hasBalancer(lab) ? [balancer(lab, paths)] : []),
    controllerManager(lab, paths),
    scheduler(lab, paths),
    ...count(lab.nodes, (n) => n).flatMap((n) => [
      runtime(lab, paths, programs, n),
      agent(lab, paths, n),
      ...(host ? [] : [proxy(lab, paths, n, `node-${n}/proxy`)]),
    ]),
    ...(host && lab.nodes > 0 ? [proxy(lab, paths, 1, "proxy")] : []),
  ];
  return all.map((spec) =>
    spec.foreign ? spec : { ...spec, args: [...spec.args, `--fault-socket=${faultSocket(lab.slot, spec.name)}`] },
  );
}

/** Another program takes no sockets from the supervisor: one of ours beside it does. A lab has no way out: one leads there. */
function relays(lab: LabFile): ProcessSpec[] {
  if (lab.mode === "host" || !lab.store) return [];
  const { inside, outside } = addressesOf(lab);
  const program = "relay";
  if ("binary" in lab.store)
    return count(lab.members, (i) => {
      const [from, to] = [outside.member(i), inside.member(i)];
      const args = ["--listen-outside=true", `--route=${from}:${ports.client}=${to}:${ports.client}`];
      return { name: `etcd-${i}/relay`, place: `etcd-${i}`, program, args };
    });
  const routes = lab.store.endpoints.map((endpoint, i) => `--route=${relayed(i)}=${endpoint}`);
  const args = ["--connect-outside=true", ...routes, ...tlsFlags("--", lab.store)];
  return apiserverNames(lab).map((place) => ({ name: `${place}/store-relay`, place, program, args }));
}

/** Of TCP, as before the apiservers of a real cluster: clients of REST know one address, components all. */
function balancer(lab: LabFile, paths: LabPaths): ProcessSpec {
  const { inside, outside } = addressesOf(lab);
  const to = apiserverNames(lab).map((_, i) => `${inside.apiserver(i + 1)}:${ports.secure}`);
  const checks = ["--check-path=/readyz", `--check-cafile=${join(paths.certs, "ca.crt")}`];
  const args = [`--route=${outside.balancer}:${ports.secure}=${to.join("|")}`, ...checks];
  const border = lab.mode === "host" ? [] : ["--listen-outside=true"];
  return { name: "balancer", place: "balancer", program: "relay", args: [...args, ...border] };
}

const relayed = (i: number): string => `127.0.0.1:${ports.client + i}`;

/** `--etcd-*` of an apiserver. */
function storeFlags(lab: LabFile, paths: LabPaths): string[] {
  const { inside } = addressesOf(lab);
  if (!lab.store || "binary" in lab.store) {
    const own = (file: string) => join(paths.certs, file);
    const port = ports.client + (lab.relay ? relayOffset : 0);
    const servers = count(lab.members, (i) => `https://${inside.member(i)}:${port}`).join(",");
    const [certFile, keyFile] = [own("apiserver-etcd-client.crt"), own("apiserver-etcd-client.key")];
    return [`--etcd-servers=${servers}`, ...tlsFlags("--etcd-", { caFile: own("etcd/ca.crt"), certFile, keyFile })];
  }
  const { endpoints, caFile } = lab.store;
  const relay = lab.mode === "netns"; // which speaks TLS towards the store
  const scheme = relay || !caFile ? "http" : "https";
  const servers = endpoints.map((endpoint, i) => `${scheme}://${relay ? relayed(i) : endpoint}`).join(",");
  return [`--etcd-servers=${servers}`, ...(relay ? [] : tlsFlags("--etcd-", lab.store))];
}

function tlsFlags(prefix: string, { caFile, certFile, keyFile }: TlsFiles): string[] {
  const named = Object.entries({ cafile: caFile, certfile: certFile, keyfile: keyFile });
  return named.flatMap(([flag, file]) => (file ? [`${prefix}${flag}=${file}`] : []));
}

function member(lab: LabFile, paths: LabPaths, i: number): ProcessSpec {
  const { inside, outside } = addressesOf(lab);
  const name = `etcd-${i}`;
  const { heartbeatMs, electionMs } = presets[lab.preset];
  const peerUrl = (k: number) => `https://${inside.member(k)}:${ports.peer + (lab.relay ? relayOffset : 0)}`;
  const certs = join(paths.certs, "etcd");
  return {
    name,
    place: name,
    ...(isForeign(lab, name) ? { program: lab.store.binary, foreign: true } : { program: "etcd-raft" }),
    args: [
      `--name=${name}`,
      `--data-dir=${join(paths.members, name)}`,
      `--listen-client-urls=https://${inside.member(i)}:${ports.client}`,
      `--advertise-client-urls=https://${outside.member(i)}:${ports.client}`,
      `--listen-peer-urls=https://${inside.member(i)}:${ports.peer}`,
      `--initial-advertise-peer-urls=${peerUrl(i)}`,
      `--initial-cluster=${count(lab.members, (k) => `etcd-${k}=${peerUrl(k)}`).join(",")}`,
      `--initial-cluster-token=kubelab-${lab.name}`,
      `--heartbeat-interval=${heartbeatMs}`,
      `--election-timeout=${electionMs}`,
      ...(lab.snapshotCount === undefined ? [] : [`--snapshot-count=${lab.snapshotCount}`]),
      ...(lab.snapshotCount === undefined || lab.store
        ? []
        : [`--snapshot-catchup-entries=${Math.ceil(lab.snapshotCount / 5)}`]), // etcd 3.4 has no such flag
      `--cert-file=${join(certs, `${name}.crt`)}`,
      `--key-file=${join(certs, `${name}.key`)}`,
      `--trusted-ca-file=${join(certs, "ca.crt")}`,
      "--client-cert-auth=true",
      `--peer-cert-file=${join(certs, `${name}.crt`)}`,
      `--peer-key-file=${join(certs, `${name}.key`)}`,
      `--peer-trusted-ca-file=${join(certs, "ca.crt")}`,
      "--peer-client-cert-auth=true",
      `--listen-metrics-urls=http://${inside.member(i)}:${ports.memberMetrics}`,
      ...(lab.store
        ? ["--logger=zap"]
        : lab.mode === "netns"
          ? [`--listen-outside=${outside.member(i)}:${ports.client}`]
          : []),
    ],
  };
}

function apiserver(lab: LabFile, paths: LabPaths, i: number): ProcessSpec {
  const { inside, outside, serviceCidr } = addressesOf(lab);
  const { tolerationSeconds } = presets[lab.preset];
  const cert = (file: string) => join(paths.certs, file);
  return {
    name: `apiserver-${i}`,
    place: `apiserver-${i}`,
    program: "apiserver",
    args: [
      ...storeFlags(lab, paths),
      `--bind-address=${inside.apiserver(i)}`,
      `--secure-port=${ports.secure}`,
      `--grpc-port=${ports.grpc}`,
      `--advertise-address=${inside.apiserver(i)}`,
      `--client-ca-file=${cert("ca.crt")}`,
      `--tls-cert-file=${cert("apiserver.crt")}`,
      `--tls-private-key-file=${cert("apiserver.key")}`,
      `--kubelet-client-certificate=${cert("apiserver-kubelet-client.crt")}`,
      `--kubelet-client-key=${cert("apiserver-kubelet-client.key")}`,
      `--kubelet-certificate-authority=${cert("ca.crt")}`,
      `--service-account-issuer=https://kubernetes.default.svc.${lab.serviceDnsDomain ?? "cluster.local"}`,
      `--service-account-key-file=${cert("sa.pub")}`,
      `--service-account-signing-key-file=${cert("sa.key")}`,
      "--enable-bootstrap-token-auth=true",
      `--requestheader-client-ca-file=${cert("front-proxy-ca.crt")}`,
      "--requestheader-allowed-names=front-proxy-client",
      `--proxy-client-cert-file=${cert("front-proxy-client.crt")}`,
      `--proxy-client-key-file=${cert("front-proxy-client.key")}`,
      `--service-cluster-ip-range=${serviceCidr}`,
      `--service-node-port-range=${nodePortRange}`,
      `--etcd-compaction-interval=${lab.keepRevisions ?? "1h"}`,
      `--default-not-ready-toleration-seconds=${tolerationSeconds}`,
      `--default-unreachable-toleration-seconds=${tolerationSeconds}`,
      lab.mode === "host" ? "--allow-loopback-endpoints=true" : `--listen-outside=${outside.apiserver(i)}`,
    ],
  };
}

function controllerManager(lab: LabFile, paths: LabPaths): ProcessSpec {
  const { inside, clusterCidr, reservedCidr } = addressesOf(lab);
  const { nodeMonitorPeriodMs, nodeMonitorGraceSeconds } = presets[lab.preset];
  return leading(lab, paths, "controller-manager", inside.controllerManager, ports.controllerManager, [
    `--cluster-signing-cert-file=${join(paths.certs, "ca.crt")}`,
    `--cluster-signing-key-file=${join(paths.certs, "ca.key")}`,
    `--cluster-cidr=${clusterCidr}`,
    "--node-cidr-mask-size=24",
    `--node-monitor-period=${nodeMonitorPeriodMs}ms`,
    `--node-monitor-grace-period=${nodeMonitorGraceSeconds}s`,
    ...(reservedCidr ? [`--reserved-cidrs=${reservedCidr}`] : []),
  ]);
}

function scheduler(lab: LabFile, paths: LabPaths): ProcessSpec {
  return leading(lab, paths, "scheduler", addressesOf(lab).inside.scheduler, ports.scheduler, []);
}

/** One of which one leads, although a lab has but one of each. */
function leading(lab: LabFile, paths: LabPaths, name: string, ip: string, port: number, more: string[]): ProcessSpec {
  const { leaseMs, renewDeadlineMs, retryMs } = presets[lab.preset].leaderElection;
  const args = [
    ...identity(lab, paths, name),
    `--bind-address=${ip}`,
    `--secure-port=${port}`,
    "--leader-elect=true",
    `--leader-elect-lease-duration=${leaseMs}ms`,
    `--leader-elect-renew-deadline=${renewDeadlineMs}ms`,
    `--leader-elect-retry-period=${retryMs}ms`,
  ];
  return { name, place: name, program: name, args: [...args, ...more] };
}

/** `name` of `node-1/agent`; in mode host the one proxy has no node's. */
function onNode(lab: LabFile, n: number, name: string, program: string, more: string[]): ProcessSpec {
  const place = `node-${n}`;
  const args = [`--node-name=${place}`, `--node-ip=${addressesOf(lab).inside.node(n)}`, `--mode=${lab.mode}`, ...more];
  return { name, place, program, args };
}

function runtime(lab: LabFile, paths: LabPaths, programs: Programs, n: number): ProcessSpec {
  return onNode(lab, n, `node-${n}/runtime`, "runtime", [
    `--listen=unix://${runtimeSocket(lab.slot, `node-${n}`)}`,
    `--root-dir=${runtimeRoot(paths, `node-${n}`)}`,
    `--images-file=${programs.imagesFile}`,
    `--images-dir=${join(programs.dist, "images")}`,
    `--metrics-address=${addressesOf(lab).inside.node(n)}:${ports.runtimeMetrics}`,
  ]);
}

function agent(lab: LabFile, paths: LabPaths, n: number): ProcessSpec {
  const { nodeLeaseSeconds, nodeStatusUpdateSeconds } = presets[lab.preset];
  return onNode(lab, n, `node-${n}/agent`, "node-agent", [
    ...identity(lab, paths, `nodes/node-${n}`),
    `--address=${addressesOf(lab).inside.node(n)}`,
    `--port=${ports.kubelet}`,
    `--client-ca-file=${join(paths.certs, "ca.crt")}`,
    `--tls-cert-file=${join(paths.certs, `nodes/node-${n}.crt`)}`,
    `--tls-private-key-file=${join(paths.certs, `nodes/node-${n}.key`)}`,
    `--container-runtime-endpoint=unix://${runtimeSocket(lab.slot, `node-${n}`)}`,
    `--root-dir=${join(paths.nodes, `node-${n}`, "agent")}`,
    `--node-lease-duration=${nodeLeaseSeconds}s`,
    `--node-status-update-frequency=${nodeStatusUpdateSeconds}s`,
  ]);
}

function proxy(lab: LabFile, paths: LabPaths, n: number, name: string): ProcessSpec {
  const { inside, outside, serviceCidr } = addressesOf(lab);
  const host = lab.mode === "host";
  return onNode(lab, n, name, "proxy", [
    ...identity(lab, paths, `nodes/node-${n}-proxy`),
    `--bind-address=${inside.node(n)}`,
    `--healthz-port=${ports.proxyHealth}`,
    `--service-cluster-ip-range=${serviceCidr}`,
    `--nodeport-addresses=${host ? count(lab.nodes, inside.node).join(",") : inside.node(n)}`,
    ...(host ? [] : [`--listen-outside=${outside.node(n)}`]),
  ]);
}

/** Where the API is and who is calling: the next apiserver when one is gone. */
function identity(lab: LabFile, paths: LabPaths, who: string): string[] {
  const { inside } = addressesOf(lab);
  const servers = apiserverNames(lab).map((_, i) => `${inside.apiserver(i + 1)}:${ports.grpc}`);
  const first = Number(/-(\d+)/.exec(who)?.[1] ?? 1) - 1; // nodes begin with one after the other
  return [
    `--apiserver=${servers.map((_, i) => servers[(i + first) % servers.length]).join(",")}`,
    `--ca-file=${join(paths.certs, "ca.crt")}`,
    `--cert-file=${join(paths.certs, `${who}.crt`)}`,
    `--key-file=${join(paths.certs, `${who}.key`)}`,
  ];
}

function count<T>(n: number, make: (i: number) => T): T[] {
  return Array.from({ length: n }, (_, i) => make(i + 1));
}
