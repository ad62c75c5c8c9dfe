import { stringify } from "yaml";
import { resources } from "../api/resources.ts";
import { decodeValue } from "../apiserver/storage/stored-object.ts";
import { systemClock } from "../base/clock.ts";
import { StartError } from "../base/process.ts";
import { storeAccess, storeTls } from "../deploy/lab/store-access.ts";
import { EtcdClient } from "../etcd-raft/client/client.ts";
import type { KeyValue } from "../proto/generated/mvccpb.ts";
import type { LabRef } from "./lab-ref.ts";

/**
 * What an object was at any revision that the store still holds, read from the store itself with the lab's client
 * certificate: it needs no apiserver. Values that are encrypted at rest are listed, but only their apiserver can read them.
 */
export interface HistoryRequest {
  action: string;
  revision?: number;
  to?: number;
}

/** `value` is absent where it was deleted; `version` 1: it was created. */
export type Change = { revision: number } & Partial<Pick<KeyValue, "version" | "value">>;

export interface Kept {
  /** States are known from this revision on, up to `newest`. */
  oldest: number;
  newest: number;
  /** Ascending. The first may be from before `oldest`: it was so then. */
  changes: Change[];
}

export async function history({ lab, paths }: LabRef, path: string, request: HistoryRequest): Promise<string> {
  const access = storeAccess(lab, paths);
  const tls = storeTls(access);
  const etcd = new EtcdClient({
    endpoints: access.members.map(({ url }) => url),
    ...(tls && { tls }),
    // In the certificate of every member of ours; an address may not be asked for by name.
    ...(access.members[0]?.serverName && { serverName: "localhost" }),
  });
  try {
    return told(path, await keptOf(etcd, `/registry/${path}`), request);
  } finally {
    etcd.close();
  }
}

/** Under `/registry/`. Kinds have all names that kubectl takes; custom ones, which the store alone knows, are PLURAL.GROUP. */
export function pathOf(kind: string, namespace: string | undefined, name: string): string {
  const wanted = kind.toLowerCase();
  const row = resources().find(({ resource, singular, kind, group, shortNames, virtual, face }) => {
    const names = [resource, singular, kind.toLowerCase(), `${resource}.${group}`, ...shortNames];
    return !virtual && !face && names.includes(wanted);
  });
  if (row) return `${row.storagePrefix}/${row.namespaced ? `${namespace ?? "default"}/` : ""}${name}`;
  const [plural, ...group] = wanted.split(".");
  if (group.length > 0) return `${group.join(".")}/${plural}/${namespace ? `${namespace}/` : ""}${name}`;
  throw new StartError(`there is no kind "${kind}"; a custom one is PLURAL.GROUP, with -n when it is in a namespace`);
}

/** The answer of a command. A StartError in one line where there is none. */
export function told(path: string, { changes, oldest, newest }: Kept, request: HistoryRequest): string {
  const { action, revision = newest, to } = request;
  const at = (wanted: number): Change | undefined => {
    if (wanted > newest) throw new StartError(`revision ${wanted} is not there yet: the store is at ${newest}`);
    if (wanted < oldest) throw new StartError(`revision ${wanted} is compacted: the oldest there is is ${oldest}`);
    return changes.findLast((change) => change.revision <= wanted);
  };
  if (action === "list") {
    const line = (change: Change, i: number) => `${change.revision}  ${summary(path, changes[i - 1], change)}`;
    const lines = changes.length > 0 ? changes.map(line) : [`nothing of ${path}`];
    return [`revisions ${oldest} to ${newest} are kept`, ...lines].join("\n");
  }
  const last = at(revision);
  if (action === "get") {
    if (last?.value) return stringify(read(path, last)).trimEnd();
    throw new StartError(`${path} is not there at revision ${revision}${last ? `: deleted at ${last.revision}` : ""}`);
  }
  const [before, after] = to === undefined ? [changes[changes.indexOf(last!) - 1], last] : [last, at(to)];
  return fieldChanges(read(path, before), read(path, after)).join("\n") || "nothing changed";
}

function summary(path: string, before: Change | undefined, change: Change): string {
  if (change.value === undefined) return "deleted";
  if (change.version === 1) return "created";
  if ([change, before].some((one) => one?.value === undefined || isEncrypted(one.value))) return "written";
  const lines = fieldChanges(read(path, before), read(path, change)).slice(0, 3);
  return lines.map((line) => (line.length > 60 ? `${line.slice(0, 59)}…` : line)).join("; ") || "written";
}

const isEncrypted = (value: Uint8Array) => Buffer.from(value.subarray(0, 8)).toString() === "k8s:enc:";

/** Without managedFields: who wrote a field is not what it is. */
function read(path: string, change: Change | undefined): object | undefined {
  if (change?.value === undefined) return undefined;
  if (isEncrypted(change.value))
    throw new StartError(`${path} is encrypted at rest: only an apiserver that has the key can read it`);
  const object = decodeValue(path, change.value, change.revision).parse();
  return { ...object, metadata: { ...object.metadata, managedFields: undefined } };
}

/** One line a field: `+` came, `-` went, `~` was and is. Items of lists are known by name, type or uid, where they have one. */
export function fieldChanges(before: unknown, after: unknown, path = ""): string[] {
  const [old, now] = [fieldsOf(before), fieldsOf(after)];
  if (old && now)
    return [...new Set([...old.keys(), ...now.keys()])].flatMap((name) => {
      const at = path === "" || name.startsWith("[") ? path + name : `${path}.${name}`;
      return fieldChanges(old.get(name), now.get(name), at);
    });
  const [was, is] = [before, after].map((value) => JSON.stringify(value));
  if (was === is || path === "metadata.resourceVersion") return [];
  if (was === undefined || is === undefined) return [`${is ? "+" : "-"} ${path || "all"}: ${is ?? was}`];
  return [`~ ${path}: ${was} -> ${is}`];
}

function fieldsOf(value: unknown): Map<string, unknown> | undefined {
  if (value === null || typeof value !== "object") return undefined;
  if (!Array.isArray(value))
    return new Map(Object.entries(value).map(([name, field]) => [/^[\w-]+$/.test(name) ? name : `[${name}]`, field]));
  const ids = value.map((item: Record<string, unknown> | null) => item?.["name"] ?? item?.["type"] ?? item?.["uid"]);
  if (ids.includes(undefined) || new Set(ids).size < ids.length) return undefined;
  return new Map(value.map((item, i) => [`[${ids[i]}]`, item]));
}

/**
 * All that a watch from the first revision tells; from where the history begins when that is compacted. etcd before 3.4.31
 * and 3.5.13 may say that it has told all before it has (etcd issue 15220): what is there now has to be among it. Of what was
 * deleted, such an etcd may still leave out the end.
 */
export async function keptOf(etcd: EtcdClient, key: string, oldest = 1): Promise<Kept> {
  const { header, kvs } = await etcd.range({ key });
  const newest = header!.revision;
  const last = kvs[0]?.modRevision ?? 0;
  const written = ({ modRevision, version, value }: KeyValue): Change => ({ revision: modRevision, version, value });
  const changes = oldest > 1 ? (await etcd.range({ key, revision: oldest })).kvs.map(written) : [];
  if (oldest >= newest) return { oldest, newest, changes }; // nothing has come since
  let stop = () => {};
  const compacted = await new Promise<number>((resolve, reject) => {
    let told = false;
    const look = () => told && (changes.at(-1)?.revision ?? 0) >= last && resolve(0);
    const request = { key, startRevision: oldest > 1 ? oldest + 1 : 1 };
    const watch = etcd.watch(request, {
      onEvents: (events) => {
        for (const { type, kv } of events) changes.push(type === 0 ? written(kv!) : { revision: kv!.modRevision });
        look();
      },
      onProgress(revision) {
        told ||= revision >= newest;
        look();
      },
      onClosed: (closed) => (closed.compactRevision ? resolve(closed.compactRevision) : reject(closed)),
    });
    const asking = systemClock.every(20, () => etcd.requestProgress());
    stop = () => {
      asking();
      watch.cancel();
    };
  }).finally(() => stop());
  return compacted > 0 ? keptOf(etcd, key, compacted) : { oldest, newest, changes };
}
