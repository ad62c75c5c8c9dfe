import type { Lease } from "../../api/generated/coordination-v1.ts";
import type { ComponentStatus } from "../../api/generated/core-v1.ts";
import { notFound } from "../../apimachinery/status.ts";
import { parseTime } from "../../apimachinery/time.ts";
import { type Answer, sendable } from "../answer.ts";
import { registryRoot } from "../storage/storage.ts";
import type { Context, Place } from "./context.ts";

/**
 * componentstatuses: the store is asked; of the others their Lease tells whether one of them leads. Differs: upstream
 * asks the ports of its own machine, where ours need not run.
 */
export async function componentStatus({ context, resource, target: { name } }: Place): Promise<Answer> {
  const store = await context.storage.currentRevision(timeoutMs).then(
    () => undefined,
    (error: Error) => error.message,
  );
  const lead = { "controller-manager": "kube-controller-manager", scheduler: "kube-scheduler" };
  const statuses = [
    ...Object.entries(lead).map(([component, lease]) => of(component, leaseProblem(context, lease))),
    of("etcd-0", store),
  ];
  if (name === "") return { type: "List", resource, list: { resourceVersion: "", items: statuses.map(sendable) } };
  const status = statuses.find(({ metadata }) => metadata.name === name);
  if (status === undefined) throw notFound(resource, name);
  return { type: "Object", code: 200, resource, object: sendable(status) };
}

const of = (name: string, problem: string | undefined): ComponentStatus => ({
  kind: "ComponentStatus",
  apiVersion: "v1",
  metadata: { name },
  conditions: [
    problem === undefined
      ? { type: "Healthy", status: "True", message: "ok" }
      : { type: "Healthy", status: "False", message: problem },
  ],
});

function leaseProblem({ cache, clock }: Context, name: string): string | undefined {
  const prefix = `${registryRoot}leases/`;
  const lease = cache.resource(prefix).objects.get(`${prefix}kube-system/${name}`)?.parse() as Lease | undefined;
  const { holderIdentity, renewTime, leaseDurationSeconds = 0 } = lease?.spec ?? {};
  const held = holderIdentity && parseTime(renewTime) + leaseDurationSeconds * 1000 >= clock.now();
  return held ? undefined : `nobody holds the Lease kube-system/${name}`;
}

const timeoutMs = 2000;
