import { accessSync, constants, existsSync } from "node:fs";
import { isIP } from "node:net";
import { resolve } from "node:path";
import { type Cidr, formatCidr, overlap, parseCidr } from "../../base/cidr.ts";
import { StartError } from "../../base/process.ts";
import { maxNodes, switchCidr } from "./addresses.ts";
import { splitEndpoint } from "./kubeconfig.ts";
import type { LabRequest, Mode } from "./lab-file.ts";
import { type PresetName, presetNames } from "./presets.ts";

/** What was asked for as text and numbers, checked; a StartError names the first thing that cannot be. */
export function checkedRequest(asked: {
  name: string;
  members?: number | undefined;
  nodes?: number | undefined;
  preset?: string | undefined;
  mode?: string | undefined;
  tlsSans?: string[] | undefined;
  controlPlaneEndpoint?: string | undefined;
  serviceCidr?: string | undefined;
  podNetworkCidr?: string | undefined;
  serviceDnsDomain?: string | undefined;
  keepRevisions?: string | undefined;
  relay?: boolean | undefined;
  store?: string | undefined;
  storeBinary?: string | undefined;
  storeCafile?: string | undefined;
  storeCertfile?: string | undefined;
  storeKeyfile?: string | undefined;
}): LabRequest {
  const { name, members, nodes, preset, mode, tlsSans, controlPlaneEndpoint } = asked;
  const { serviceCidr, podNetworkCidr, serviceDnsDomain, keepRevisions } = asked;
  const refuse = (line: string): never => {
    throw new StartError(line);
  };
  if (!/^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$/.test(name)) {
    refuse(`lab name "${name}" must be at most 40 lower case letters, digits and inner dashes`);
  }
  if (members !== undefined && ![1, 3, 5].includes(members)) refuse(`--members must be 1, 3 or 5, not ${members}`);
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
    name,
    members: elsewhere ? 0 : members,
    nodes,
    preset: preset as PresetName | undefined,
    mode: mode as Mode | undefined,
    tlsSans,
    controlPlaneEndpoint,
    serviceCidr,
    podNetworkCidr,
    serviceDnsDomain,
    keepRevisions,
    relay: asked.relay,
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
  if ((scheme === "etcds") !== (files[0] !== undefined) || (files[1] === undefined) !== (files[2] === undefined))
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
