import { accessSync, constants, existsSync } from "node:fs";
import { isIP } from "node:net";
import { resolve } from "node:path";
import { type Cidr, formatCidr, overlap, parseCidr } from "../../base/cidr.ts";
import { StartError } from "../../base/process.ts";
import { maxNodes, switchCidr } from "./addresses.ts";
import { splitEndpoint } from "./kubeconfig.ts";
import type { LabRequest, Mode } from "./lab-file.ts";
import { type PresetName, presetNames } from "./presets.ts";

/**
 * What `up` can be told, as the command, the supervisor and an experiment's `cluster` have it: `tlsSans` is `--tls-sans`.
 * `takes`: `<n>` is a number, nothing a switch, all else text.
 */
export const labFlags = {
  members: { takes: "<n>", help: "raft members: 1, 3 or 5 (default: 3)" },
  apiservers: { takes: "<n>", help: "apiservers: 1 to 5, with a TCP balancer before several (default: 1)" },
  nodes: { takes: "<n>", help: "nodes (default: 2)" },
  preset: { takes: "<preset>", help: `timings: ${presetNames.join(", ")} (default: lan)` },
  mode: {
    takes: "<mode>",
    help: "netns (own namespaces) or host; without it the first that this machine allows",
  },
  tlsSans: { takes: "<names>", help: "more DNS names and addresses of the apiserver's certificate, with commas" },
  controlPlaneEndpoint: { takes: "<host:port>", help: "where the kubeconfig leads, as behind a TCP balancer" },
  serviceCidr: { takes: "<cidr>", help: "range of the ClusterIPs (default: 10.96.0.0/12)" },
  podNetworkCidr: { takes: "<cidr>", help: "range of the Pods' addresses (default: 10.244.0.0/16)" },
  serviceDnsDomain: { takes: "<domain>", help: "the cluster's domain (default: cluster.local)" },
  keepRevisions: { takes: "<duration>", help: "how long the store keeps what was, for `history` (default: 1h)" },
  snapshotCount: { takes: "<n>", help: "entries after which a member makes a snapshot (default: 100000)" },
  relay: {
    takes: "",
    help: "relays before the members' ports, where faults act instead of in the members (mode host)",
  },
  store: {
    takes: "<store>",
    help: "etcd://HOST:PORT,... (etcds:// for TLS): a store that runs elsewhere; kubelab: our members again",
  },
  storeBinary: { takes: "<path>", help: "a program with etcd's flags and files runs as the members" },
  storeCafile: { takes: "<file>", help: "of etcds://: its authority" },
  storeCertfile: { takes: "<file>", help: "of etcds://: our certificate" },
  storeKeyfile: { takes: "<file>", help: "of etcds://: its key" },
} as const satisfies Record<string, { takes: string; help: string }>;

type Taken<Takes> = Takes extends "<n>" ? number : Takes extends "" ? boolean : string;
export type LabFlags = {
  -readonly [Name in keyof typeof labFlags]?: Taken<(typeof labFlags)[Name]["takes"]> | undefined;
};
export const labFlagNames = Object.keys(labFlags) as (keyof LabFlags)[];
export const flagOf = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** What was asked for as text and numbers, checked; a StartError names the first thing that cannot be. */
export function checkedRequest(
  asked: { name: string } & Omit<LabFlags, "tlsSans"> & { tlsSans?: string | string[] | undefined },
): LabRequest {
  const { storeBinary: _, storeCafile: __, storeCertfile: ___, storeKeyfile: ____, ...kept } = asked;
  const { name, members, apiservers, nodes, preset, mode, controlPlaneEndpoint } = asked;
  const { serviceDnsDomain, keepRevisions, snapshotCount } = asked;
  const tlsSans = typeof asked.tlsSans === "string" ? asked.tlsSans.split(",") : asked.tlsSans;
  const refuse = (line: string): never => {
    throw new StartError(line);
  };
  if (!/^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$/.test(name)) {
    refuse(`lab name "${name}" must be at most 40 lower case letters, digits and inner dashes`);
  }
  if (members !== undefined && ![1, 3, 5].includes(members)) refuse(`--members must be 1, 3 or 5, not ${members}`);
  if (apiservers !== undefined && ![1, 2, 3, 4, 5].includes(apiservers))
    refuse(`--apiservers must be between 1 and 5, not ${apiservers}`);
  if (snapshotCount !== undefined && !(Number.isInteger(snapshotCount) && snapshotCount > 0))
    refuse(`--snapshot-count must be a whole number above 0, not ${snapshotCount}`);
  if (nodes !== undefined && !(Number.isInteger(nodes) && nodes >= 0 && nodes <= maxNodes)) {
    refuse(`--nodes must be between 0 and ${maxNodes}, not ${nodes}`);
  }
  if (preset !== undefined && !presetNames.includes(preset as PresetName)) {
    refuse(`--preset must be one of ${presetNames.join(", ")}, not ${preset}`);
  }
  if (mode !== undefined && mode !== "netns" && mode !== "host") refuse(`--mode must be netns or host, not ${mode}`);
  const wrong = tlsSans?.find((san) => !isName(san.replace(/^\*\./, "")));
  if (wrong !== undefined) refuse(`--tls-sans takes DNS names and IP addresses, not "${wrong}"`);
  if (controlPlaneEndpoint !== undefined) {
    const { host, port } = splitEndpoint(controlPlaneEndpoint);
    if (!isName(host) || !(Number.isInteger(port) && port > 0 && port < 65_536))
      refuse(`--control-plane-endpoint must be HOST:PORT, not "${controlPlaneEndpoint}"`);
  }
  const wrongRange = rangeProblem({ ...asked, nodes: nodes ?? 1 });
  if (wrongRange !== undefined) refuse(wrongRange);
  if (serviceDnsDomain !== undefined && (!isName(serviceDnsDomain) || isIP(serviceDnsDomain) !== 0))
    refuse(`--service-dns-domain must be a DNS name such as cluster.local, not "${serviceDnsDomain}"`);
  if (keepRevisions !== undefined && !/^(\d+[hms])+$/.test(keepRevisions))
    refuse(`--keep-revisions must be a duration such as 1h or 10m30s, not "${keepRevisions}"`);
  if (asked.relay && mode === "netns")
    refuse("--relay needs --mode host: in mode netns the lab has networks of its own, which are cut instead");
  const store = storeOf(asked, refuse);
  const elsewhere = typeof store === "object" && "endpoints" in store;
  if (elsewhere && members) refuse("--members: a store that runs elsewhere has its own; leave the flag out");
  return {
    ...kept,
    members: elsewhere ? 0 : members,
    preset: preset as PresetName | undefined,
    mode: mode as Mode | undefined,
    tlsSans,
    store,
  };
}

function storeOf(asked: Parameters<typeof checkedRequest>[0], refuse: (line: string) => never): LabRequest["store"] {
  const { store, storeBinary, storeCafile, storeCertfile, storeKeyfile } = asked;
  if (store !== undefined && storeBinary !== undefined) refuse("--store and --store-binary: only one can be the store");
  if (storeBinary !== undefined) {
    const binary = resolve(storeBinary);
    try {
      accessSync(binary, constants.X_OK);
    } catch (error) {
      refuse(`--store-binary: ${binary} cannot be run (${(error as NodeJS.ErrnoException).code})`);
    }
    return { binary };
  }
  if (store === undefined || store === "kubelab") return store;
  const [, scheme, list = ""] = /^(etcds?):\/\/(.+)$/.exec(store) ?? [];
  const endpoints = list.split(",").filter(Boolean);
  const wrong = endpoints.map(splitEndpoint).some(({ host, port }) => !isName(host) || !(port > 0 && port < 65_536));
  if (scheme === undefined || endpoints.length === 0 || wrong)
    refuse(`--store must be kubelab, etcd://HOST:PORT,... or etcds://HOST:PORT,... (TLS), not "${store}"`);
  const files = [storeCafile, storeCertfile, storeKeyfile].map((file) => file && resolve(file));
  const [ca, cert, key] = files.map((file) => file !== undefined);
  if ((scheme === "etcds") !== ca || cert !== key || (cert && !ca))
    refuse(
      "--store etcds:// takes --store-cafile, and --store-certfile with --store-keyfile; etcd:// takes none of them",
    );
  const missing = files.find((file) => file !== undefined && !existsSync(file));
  if (missing) refuse(`there is no file ${missing}`);
  return scheme === "etcd" ? { endpoints } : { endpoints, caFile: files[0], certFile: files[1], keyFile: files[2] };
}

const isName = (text: string): boolean =>
  isIP(text) !== 0 ||
  (text.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text));

/** Why these ranges cannot be: each well formed and large enough, none in another or in what the lab itself uses. */
function rangeProblem({ mode, nodes, ...asked }: LabRanges): string | undefined {
  if (mode === "host" && (asked.serviceCidr ?? asked.podNetworkCidr) !== undefined)
    return "--service-cidr and --pod-network-cidr need --mode netns: in mode host a lab has the ranges of its slot";
  const taken: [string, Cidr][] = [
    ["127.0.0.0/8, the machine's own", parseCidr("127.0.0.0/8")],
    [`${switchCidr}, the lab's own network`, parseCidr(switchCidr)],
  ];
  const wanted = [
    ["--service-cidr", asked.serviceCidr ?? "10.96.0.0/12", 2 ** 2, 2 ** 20],
    ["--pod-network-cidr", asked.podNetworkCidr ?? "10.244.0.0/16", 256 * Math.max(1, nodes), 2 ** 24],
  ] as const;
  for (const [flag, text, least, most] of wanted) {
    let range: Cidr;
    try {
      range = parseCidr(text);
    } catch {
      return `${flag} must be a range such as 10.96.0.0/12, not "${text}"`;
    }
    if (formatCidr(range) !== text) return `${flag} must begin at its first address: ${formatCidr(range)}, not ${text}`;
    if (range.size < least || range.size > most)
      return `${flag} must have ${least} to ${most} addresses, ${text} has ${range.size}`;
    const other = taken.find(([, one]) => overlap(one, range));
    if (other) return `${flag} ${text} overlaps with ${other[0]}`;
    taken.push([`${flag} ${text}`, range]);
  }
  return undefined;
}

interface LabRanges {
  mode?: string | undefined;
  nodes: number;
  serviceCidr?: string | undefined;
  podNetworkCidr?: string | undefined;
}
