import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StartError } from "../base/process.ts";
import { addressesOf } from "../deploy/lab/addresses.ts";
import { kubeconfigText } from "../deploy/lab/kubeconfig.ts";
import { processesOf } from "../deploy/lab/processes.ts";
import { storeAccess } from "../deploy/lab/store-access.ts";
import { loadAuthority } from "../pki/authority.ts";
import type { LabRef } from "./lab-ref.ts";

/** Upstream's programs that a lab has credentials for: user and groups of each, and its command line (docs/swap.md). */
interface Component {
  user(node: string): string;
  groups?: string[];
  flags(to: { kubeconfig: string; node: string; ref: LabRef }): string[];
}

const withServer = (kubeconfig: string) => [
  `--kubeconfig=${kubeconfig}`,
  `--authentication-kubeconfig=${kubeconfig}`,
  `--authorization-kubeconfig=${kubeconfig}`,
];

/** Flags of our apiserver that upstream's takes as they are: who is believed, as whom it speaks, ranges of Services. */
const asOurs = /^--(client-ca|tls|kubelet-client|enable-bootstrap|requestheader|proxy-client|service)-/;

export const components: Record<string, Component> = {
  "kube-scheduler": {
    user: () => "system:kube-scheduler",
    flags: ({ kubeconfig }) => withServer(kubeconfig),
  },
  "kube-controller-manager": {
    user: () => "system:kube-controller-manager",
    flags({ kubeconfig, ref: { lab, paths } }) {
      const { clusterCidr, serviceCidr } = addressesOf(lab);
      const file = (name: string) => join(paths.certs, name);
      return [
        ...withServer(kubeconfig),
        `--root-ca-file=${file("ca.crt")}`,
        `--service-account-private-key-file=${file("sa.key")}`,
        `--cluster-signing-cert-file=${file("ca.crt")}`,
        `--cluster-signing-key-file=${file("ca.key")}`,
        "--use-service-account-credentials=true",
        "--allocate-node-cidrs=true",
        `--cluster-cidr=${clusterCidr}`,
        `--service-cluster-ip-range=${serviceCidr}`,
      ];
    },
  },
  kubelet: {
    user: (node) => `system:node:${node}`,
    groups: ["system:nodes"],
    flags: ({ kubeconfig, node, ref: { paths } }) => [
      `--kubeconfig=${kubeconfig}`,
      `--hostname-override=${node}`,
      `--client-ca-file=${join(paths.certs, "ca.crt")}`,
      "--container-runtime-endpoint=unix:///run/containerd/containerd.sock",
    ],
  },
  "kube-proxy": {
    user: () => "system:kube-proxy",
    flags: ({ kubeconfig, node, ref: { lab } }) => [
      `--kubeconfig=${kubeconfig}`,
      `--hostname-override=${node}`,
      `--cluster-cidr=${addressesOf(lab).clusterCidr}`,
    ],
  },
  "kube-apiserver": {
    user: () => "system:apiserver",
    groups: ["system:masters"],
    flags({ ref: { lab, paths } }) {
      const { members, files } = storeAccess(lab, paths);
      const file = (name: string) => join(paths.certs, name);
      const [cert, key] = [file("apiserver-etcd-client.crt"), file("apiserver-etcd-client.key")];
      const ours = { caFile: file("etcd/ca.crt"), certFile: cert, keyFile: key };
      const { caFile, certFile, keyFile } = { ...(lab.store && "endpoints" in lab.store ? files : ours) };
      const store = { "etcd-cafile": caFile, "etcd-certfile": certFile, "etcd-keyfile": keyFile };
      return [
        `--etcd-servers=${members.map(({ url }) => url).join(",")}`,
        ...Object.entries(store).flatMap(([flag, path]) => (path === undefined ? [] : [`--${flag}=${path}`])),
        ...processesOf(lab, paths, { dist: "", imagesFile: "" })
          .find(({ name }) => name === "apiserver-1")!
          .args.filter((flag) => asOurs.test(flag)),
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--authorization-mode=Node,RBAC",
        "--secure-port=6443",
      ];
    },
  },
};

/**
 * Writes `credentials/COMPONENT/` in the lab's folder: a certificate of the cluster's authority, its key, and a kubeconfig that
 * holds both. Returns upstream's command line. A StartError names the components that there are.
 */
export async function writeCredentials(ref: LabRef, name: string, node: string): Promise<string> {
  const component = Object.hasOwn(components, name) ? components[name] : undefined;
  if (!component)
    throw new StartError(`no component is named ${name}; there are: ${Object.keys(components).join(", ")}`);
  const { lab, paths } = ref;
  const read = (file: string) => readFileSync(join(paths.certs, file), "utf8");
  const ca = read("ca.crt");
  const authority = await loadAuthority({ cert: ca, key: read("ca.key") });
  const commonName = component.user(node);
  const pair = await authority.issue({ commonName, organizations: component.groups ?? [], usages: ["client"] });
  const dir = join(paths.dir, "credentials", name === "kubelet" ? `${name}-${node}` : name);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const write = (file: string, text: string) => writeFileSync(join(dir, file), text, { mode: 0o600 });
  write("client.crt", pair.cert);
  write("client.key", pair.key);
  write("kubeconfig", kubeconfigText(lab, { ca, user: commonName, ...pair }));
  const flags = component.flags({ kubeconfig: join(dir, "kubeconfig"), node, ref });
  return [`# ${dir}`, [name, ...flags].join(" \\\n  ")].join("\n");
}
