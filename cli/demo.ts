import { readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseAllDocuments } from "yaml";
import type { Service } from "../api/generated/core-v1.ts";
import * as resources from "../api/generated/resources.ts";
import type { KubernetesObject, ResourceType } from "../apimachinery/object.ts";
import { ignoring, isAlreadyExists } from "../apimachinery/status.ts";
import { sleep, systemClock } from "../base/clock.ts";
import { StartError } from "../base/process.ts";
import { createGrpcClient } from "../client/grpc-client.ts";
import type { Client } from "../client/types.ts";
import { labPaths } from "../deploy/lab/paths.ts";
import type { LabStatus } from "../deploy/supervisor/status.ts";
import { httpGet } from "../lab/experiments/http-get.ts";
import { readTls, type TlsMaterial } from "../net/tls.ts";
import type { TimelineRow } from "./timeline.ts";

const deadlineMs = 60_000;

export function demoFiles(): string[] {
  return ["web.yaml"].map((file) => join(dirname(realpathSync(process.argv[1]!)), "..", "deploy", "demo", file));
}

/** Applies deploy/demo, waits until it answers, and adds both to the timeline. Where it is reached from this machine. */
export async function applyDemo(
  status: LabStatus,
  startedAt: number,
  timeline: TimelineRow[],
  signal: AbortSignal,
): Promise<string[]> {
  const note = (text: string) => timeline.push({ atMs: systemClock.now() - startedAt, text });
  const client = adminClient(status);
  try {
    let port: number | undefined;
    for (const file of demoFiles()) {
      for (const object of readObjects(readFileSync(file, "utf8"))) {
        const { spec } = (await apply(client, object)) as Partial<Service>;
        port = spec?.ports?.[0]?.nodePort ?? port;
      }
    }
    note("applied deploy/demo");
    const urls = status.nodes.map(({ address }) => `http://${address}:${port}`);
    if (urls[0] === undefined) return urls; // without nodes nothing can run
    await untilOneRuns(client, signal);
    note("the first Pod runs");
    await untilServed(urls[0], signal);
    note(`the demo serves at ${urls[0]}`);
    return urls;
  } finally {
    client.close();
  }
}

export function adminTls({ dir }: Pick<LabStatus, "dir">): TlsMaterial {
  const file = (name: string) => join(labPaths(dir).certs, name);
  return readTls({ certFile: file("admin.crt"), keyFile: file("admin.key"), caFile: file("ca.crt") });
}

export function adminClient(lab: Pick<LabStatus, "dir" | "apiservers">): ReturnType<typeof createGrpcClient> {
  return createGrpcClient({
    servers: lab.apiservers.map(({ grpcUrl }) => new URL(grpcUrl).host),
    tls: adminTls(lab),
  });
}

export function readObjects(manifests: string): KubernetesObject[] {
  return parseAllDocuments(manifests).map((document) => document.toJS() as KubernetesObject);
}

/** Creates it, or merges it into what is there. */
export async function apply(client: Client, object: KubernetesObject): Promise<KubernetesObject> {
  const type = typeOf(object);
  const namespaced = { ...object, metadata: { namespace: "default", ...object.metadata } };
  const created = await client.create(type, namespaced).catch(ignoring(isAlreadyExists));
  return created ?? client.patch(type, namespaced.metadata, { type: "merge", body: object });
}

const all = Object.values(resources) as ResourceType<KubernetesObject>[];

/** By its plural: `deployments`. */
export const resourceNamed = (plural: string): ResourceType<KubernetesObject> | undefined =>
  all.find(({ resource }) => resource === plural);

function typeOf({ apiVersion, kind }: KubernetesObject): ResourceType<KubernetesObject> {
  const versionOf = ({ group, version }: (typeof all)[number]) => (group ? `${group}/${version}` : version);
  const found = all.find((type) => type.kind === kind && versionOf(type) === apiVersion);
  if (found === undefined) throw new StartError(`there is no kind ${kind} in ${apiVersion}`);
  return found;
}

/** Follows the Pods of the namespace until one has the phase Running. */
async function untilOneRuns(client: Client, told: AbortSignal): Promise<void> {
  const { items, resourceVersion } = await client.list(resources.Pods, { namespace: "default" });
  const runs = (pod: (typeof items)[number]) => pod.status?.phase === "Running";
  if (items.some(runs)) return;
  const signal = AbortSignal.any([told, AbortSignal.timeout(deadlineMs)]);
  for await (const events of client.watch(resources.Pods, { namespace: "default", resourceVersion, signal })) {
    if (events.some((event) => event.type === "MODIFIED" && runs(event.object))) return;
  }
  throw new StartError(`no Pod of the demo ran within ${deadlineMs / 1000} s`);
}

async function untilServed(url: string, signal: AbortSignal): Promise<void> {
  const deadline = systemClock.monotonic() + deadlineMs;
  while ((await httpGet(url, 1000).catch(() => undefined)) === undefined) {
    if (signal.aborted || systemClock.monotonic() > deadline)
      throw new StartError(`the demo did not answer at ${url} within ${deadlineMs / 1000} s`);
    await sleep(systemClock, 20);
  }
}
