import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { StartError } from "../../base/process.ts";
import { labPaths } from "./paths.ts";
import { type PresetName, presetNames } from "./presets.ts";

export type Mode = "netns" | "host";

/** `lab.json`: what is fixed for the life of a lab. Only the number of nodes and what is kept may change between two starts. */
export interface LabFile {
  formatVersion: number;
  name: string;
  mode: Mode;
  slot: number;
  members: number;
  /** Without it one. */
  apiservers?: number | undefined;
  nodes: number;
  preset: PresetName;
  /** More names and addresses in the apiserver's certificate. */
  tlsSans?: string[] | undefined;
  /** `host:port` under which the API is reached from outside, as behind a TCP balancer. */
  controlPlaneEndpoint?: string | undefined;
  /** Ranges of the Services' and Pods' addresses, and the cluster's domain, where they are not the usual ones. */
  serviceCidr?: string | undefined;
  podNetworkCidr?: string | undefined;
  serviceDnsDomain?: string | undefined;
  /** How long the store keeps what was; without it `1h`. */
  keepRevisions?: string | undefined;
  /** How many entries a member applies between two snapshots; without it as many as etcd. */
  snapshotCount?: number | undefined;
  /** Relays before the members' ports (lab/faults/relay.ts). */
  relay?: boolean | undefined;
  store?: Store | undefined;
}

/** Who keeps the state, where it is not our own members: another program as the members, or a store that runs elsewhere. */
export type Store =
  /** Takes etcd's flags and files, so that it and our members go on with each other's folders. Absolute path. */
  | { binary: string }
  /** `host:port` of each; with files over TLS. */
  | ({ endpoints: string[] } & TlsFiles);
/** Absolute paths. */
export interface TlsFiles {
  caFile?: string | undefined;
  certFile?: string | undefined;
  keyFile?: string | undefined;
}

export const formatVersion = 1;

type Asked = Omit<LabFile, "formatVersion" | "slot" | "name" | "store">;

/** What `up` was asked for; undefined means: as it was, or the default. `kubelab`: our own members, after another store. */
export type LabRequest = { [Field in keyof Asked]?: Asked[Field] | undefined } & {
  name: string;
  store?: Store | "kubelab" | undefined;
};

/** Undefined when there is no lab in `dir`. A StartError when there is one that this version cannot run. */
export function readLabFile(dir: string): LabFile | undefined {
  const { labFile } = labPaths(dir);
  if (!existsSync(labFile)) return undefined;
  let lab: Partial<LabFile>;
  try {
    lab = JSON.parse(readFileSync(labFile, "utf8")) as Partial<LabFile>;
  } catch (error) {
    throw new StartError(`${labFile} is not JSON (${(error as Error).message}): mend it, or remove ${dir}`);
  }
  if (lab.formatVersion !== formatVersion) {
    throw new StartError(
      `the lab in ${dir} has format version ${lab.formatVersion}, this kubelab reads ${formatVersion}: ` +
        `use the kubelab that made it, or another --name, or remove ${dir}`,
    );
  }
  if (!isWhole(lab)) throw new StartError(`${labFile} lacks a field: mend it, or remove ${dir}`);
  return lab;
}

function isWhole(lab: Partial<LabFile>): lab is LabFile {
  return (
    typeof lab.name === "string" &&
    (lab.mode === "netns" || lab.mode === "host") &&
    [lab.slot, lab.members, lab.nodes].every(Number.isInteger) &&
    presetNames.includes(lab.preset as PresetName)
  );
}

const changeable = ["name", "nodes", "keepRevisions", "store"];

/** What a lab that exists becomes under a new `up`: the same, or a StartError that says what cannot change. */
export function reconcileLab(lab: LabFile, asked: LabRequest): LabFile {
  const made: Record<string, unknown> = { apiservers: 1, ...lab };
  for (const [key, value] of Object.entries(asked)) {
    if (value === undefined || changeable.includes(key) || String(value) === String(made[key])) continue;
    throw new StartError(
      `lab ${lab.name} was made with ${key} ${made[key] ?? "not set"}, which is fixed for its life; ` +
        `it cannot become ${value}: use another --name`,
    );
  }
  const { nodes = lab.nodes, keepRevisions } = asked;
  const store = reconcileStore(lab, asked.store);
  return { ...lab, nodes, ...(store && { store }), ...(keepRevisions && { keepRevisions }) };
}

/** Members may become another program's: the folders are the same. A store elsewhere has its own state. */
function reconcileStore({ name, store }: LabFile, asked: LabRequest["store"]): Store | undefined {
  if (asked === undefined) return store;
  const next = asked === "kubelab" ? undefined : asked;
  const elsewhere = [store, next].map((one) => (one && "endpoints" in one ? one.endpoints.join() : undefined));
  if (elsewhere[0] !== elsewhere[1])
    throw new StartError(
      `lab ${name} was made with ${elsewhere[0] === undefined ? "members of its own" : `the store at ${elsewhere[0]}`}, ` +
        "whose state no other store has: use another --name",
    );
  return next;
}

export const apiserverNames = ({ apiservers = 1 }: Pick<LabFile, "apiservers">): string[] =>
  Array.from({ length: apiservers }, (_, i) => `apiserver-${i + 1}`);
export const hasBalancer = ({ apiservers = 1 }: Pick<LabFile, "apiservers">): boolean => apiservers > 1;

/** Of a store that is not in the lab. */
export function endpointsOf({ store }: Pick<LabFile, "store">): string[] | undefined {
  return store && "endpoints" in store ? store.endpoints : undefined;
}

/** Whole or not at all. */
export function writeLabFile(dir: string, lab: LabFile): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const { labFile } = labPaths(dir);
  const next = join(dirname(labFile), ".lab.json.new");
  writeFileSync(next, `${JSON.stringify(lab, null, 2)}\n`, { mode: 0o600 });
  renameSync(next, labFile);
}
