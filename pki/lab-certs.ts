import { generateKeyPairSync } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Authority, createAuthority, type LeafRequest, loadAuthority } from "./authority.ts";

/**
 * The identities of one lab, laid out as kubeadm lays them out. What is there already stays (authorities live as long
 * as the lab); missing leaves are made. Keys are 0600.
 *
 *   ca, etcd/ca, front-proxy-ca     the three authorities
 *   sa.key, sa.pub                  the key pair that signs service-account tokens (ECDSA P-256, as all here:
 *                                   making an RSA key takes as long as starting three members)
 *   apiserver                       serves 6443 and 6444
 *   apiserver-etcd-client           the apiserver towards the store
 *   apiserver-kubelet-client        the apiserver towards the agents (group system:masters)
 *   front-proxy-client              the apiserver towards aggregated APIs
 *   controller-manager, scheduler, admin
 *   nodes/NAME, nodes/NAME-proxy    system:node:NAME (client and server), system:kube-proxy
 *   etcd/NAME, etcd/client          a member (client and server, peers too), etcdctl and people
 */
export interface LabCertsSpec {
  apiserver: { dnsNames: string[]; ipAddresses: string[] };
  members: { name: string; ipAddresses: string[] }[];
  nodes: { name: string; ipAddresses: string[] }[];
}

const apiserverNames = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];

export async function writeLabCerts(dir: string, spec: LabCertsSpec): Promise<void> {
  const [cluster, etcd, frontProxy] = await Promise.all([
    keepAuthority(dir, "ca", "kubernetes"),
    keepAuthority(dir, "etcd/ca", "etcd-ca"),
    keepAuthority(dir, "front-proxy-ca", "front-proxy-ca"),
  ]);
  const client = (commonName: string, ...organizations: string[]): LeafRequest => {
    return { commonName, organizations, usages: ["client"] };
  };
  const both = ["client", "server"] as const;
  const serving: LeafRequest = {
    commonName: "kube-apiserver",
    dnsNames: [...apiserverNames, ...spec.apiserver.dnsNames],
    ipAddresses: ["127.0.0.1", ...spec.apiserver.ipAddresses],
    usages: ["server"],
  };
  const leaves: [string, Authority, LeafRequest][] = [
    ["apiserver", cluster, serving],
    ["apiserver-etcd-client", etcd, client("kube-apiserver-etcd-client")],
    ["apiserver-kubelet-client", cluster, client("kube-apiserver-kubelet-client", "system:masters")],
    ["front-proxy-client", frontProxy, client("front-proxy-client")],
    ["controller-manager", cluster, client("system:kube-controller-manager")],
    ["scheduler", cluster, client("system:kube-scheduler")],
    ["admin", cluster, client("kubernetes-admin", "system:masters")],
    ["etcd/client", etcd, client("root")],
  ];
  for (const { name, ipAddresses } of spec.members) {
    const dnsNames = ["localhost", name];
    leaves.push([`etcd/${name}`, etcd, { commonName: name, dnsNames, ipAddresses, usages: [...both] }]);
  }
  for (const { name, ipAddresses } of spec.nodes) {
    const organizations = ["system:nodes"];
    const node = { commonName: `system:node:${name}`, organizations, dnsNames: [name], ipAddresses, usages: [...both] };
    leaves.push([`nodes/${name}`, cluster, node]);
    leaves.push([`nodes/${name}-proxy`, cluster, client("system:kube-proxy")]);
  }
  await Promise.all(leaves.map(([path, authority, request]) => keepLeaf(dir, path, authority, request)));
  keepServiceAccountKey(dir);
}

async function keepAuthority(dir: string, path: string, commonName: string): Promise<Authority> {
  const at = { cert: join(dir, `${path}.crt`), key: join(dir, `${path}.key`) };
  if (existsSync(at.cert) && existsSync(at.key)) {
    return loadAuthority({ cert: readFileSync(at.cert, "utf8"), key: readFileSync(at.key, "utf8") });
  }
  const authority = await createAuthority(commonName);
  writePair(dir, path, authority);
  return authority;
}

async function keepLeaf(dir: string, path: string, authority: Authority, request: LeafRequest): Promise<void> {
  if (existsSync(join(dir, `${path}.crt`)) && existsSync(join(dir, `${path}.key`))) return;
  writePair(dir, path, await authority.issue(request));
}

function keepServiceAccountKey(dir: string): void {
  if (existsSync(join(dir, "sa.key"))) return;
  const { privateKey, publicKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  writeFileSync(join(dir, "sa.pub"), publicKey, { mode: 0o644 });
  writeFileSync(join(dir, "sa.key"), privateKey, { mode: 0o600 });
}

/** The key first: a certificate on disk means that its key is there. */
function writePair(dir: string, path: string, { cert, key }: { cert: string; key: string }): void {
  mkdirSync(dirname(join(dir, path)), { recursive: true, mode: 0o700 });
  writeFileSync(join(dir, `${path}.key`), key, { mode: 0o600 });
  writeFileSync(join(dir, `${path}.crt`), cert, { mode: 0o644 });
}
