import { readFileSync } from "node:fs";
import { Deployments, Services } from "../../api/generated/resources.ts";
import { sleep } from "../../base/clock.ts";
import { StartError } from "../../base/process.ts";
import { apply, demoFiles, readObjects, resourceNamed } from "../../cli/demo.ts";
import type { Client } from "../../client/types.ts";
import type { RunOptions } from "./runner.ts";
import type { RunningLab } from "./running-lab.ts";
import type { Experiment } from "./schema.ts";

/** What the experiment applies, until all of it is available. */
export async function applyWorkload({ lab, experiment, clock, signal, say }: RunOptions): Promise<void> {
  const { apply: manifests } = experiment.workload;
  if (manifests === undefined) return;
  for (const file of manifests === "demo" ? demoFiles() : [manifests])
    for (const object of readObjects(readFileSync(file, "utf8"))) await apply(lab.api, object);
  say(`${manifests} is applied; waiting until its Pods are available`);
  const deadline = clock.monotonic() + readyWithinMs;
  for (;;) {
    const waiting = await notAvailable(lab.api);
    if (signal.aborted) throw new StartError("interrupted");
    if (waiting === undefined) return;
    if (clock.monotonic() > deadline)
      throw new StartError(`${waiting} is not available after ${readyWithinMs / 1000} s`);
    await sleep(clock, 50, signal);
  }
}

/** Where the Service of `http` answers: its node port, at each node. */
export async function httpUrls(lab: RunningLab, { workload: { http } }: Experiment): Promise<string[]> {
  if (http === undefined) return [];
  const { spec } = await lab.api.get(Services, { namespace: "default", name: http.service });
  const port = spec?.ports?.[0]?.nodePort;
  if (port === undefined) throw new StartError(`Service ${http.service} has no node port`);
  return lab.status.nodes.map(({ address }) => `http://${address}:${port}/`);
}

async function notAvailable(client: Client): Promise<string | undefined> {
  const { items } = await client.list(Deployments, { namespace: "default" });
  const short = items.find(({ spec, status, metadata }) => {
    return (
      (status?.observedGeneration ?? 0) < metadata.generation! ||
      (status?.availableReplicas ?? 0) < (spec.replicas ?? 1)
    );
  });
  return short && `Deployment ${short.metadata.name}`;
}

/** `deployments/web`, in the namespace `default`. */
export async function patch(client: Client, target: string, body: Record<string, unknown>): Promise<void> {
  const [resource, name] = target.split("/");
  const type = resourceNamed(resource!);
  if (type === undefined || !name)
    throw new StartError(`cannot patch ${target}: it is RESOURCE/NAME, as deployments/web`);
  await client.patch(type, { namespace: "default", name }, { type: "merge", body });
}

const readyWithinMs = 60_000;
