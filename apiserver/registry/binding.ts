import type { Binding, Pod } from "../../api/generated/core-v1.ts";
import { notSupported, required } from "../../apimachinery/field-error.ts";
import { conflict, invalid } from "../../apimachinery/status.ts";
import { formatTime } from "../../apimachinery/time.ts";
import { admit, attributesOf } from "./admit.ts";
import type { Place } from "./context.ts";
import { modify } from "./modify.ts";
import type { WriteOptions } from "./write.ts";

/** POST pods/binding: the scheduler's decision, made once. Differs: of a wrong Binding upstream answers 500. */
export async function bind(at: Place, binding: Binding, options: WriteOptions): Promise<void> {
  const { context, resource, target } = at;
  const { kind, name: node } = binding.target ?? {};
  const errors = [];
  if (kind && kind !== "Node") errors.push(notSupported("target.kind", kind, ["Node", "<empty>"]));
  if (!node) errors.push(required("target.name"));
  if (errors.length > 0) throw invalid({ group: "", kind: "Binding" }, target.name, errors);
  const { uid, resourceVersion, annotations } = binding.metadata;
  const gvk = { group: "", version: "v1", kind: "Binding" };
  const asked = { resource, target: { ...target, subresource: "binding" } };
  await admit(context, attributesOf("CREATE", asked, [binding, undefined], options, gvk));
  await modify(at, options.dryRun, (current) => {
    const pod = current as Pod;
    const refuse = (message: string) => conflict({ group: "", resource: "pods/binding" }, target.name, message);
    if (uid && uid !== pod.metadata.uid)
      throw refuse(`Precondition failed: UID in precondition: ${uid}, UID in object meta: ${pod.metadata.uid}`);
    if (resourceVersion && resourceVersion !== pod.metadata.resourceVersion) throw conflict(resource, target.name);
    if (pod.metadata.deletionTimestamp !== undefined)
      throw refuse(`pod ${target.name} is being deleted, cannot be assigned to a host`);
    if (pod.spec?.nodeName)
      throw refuse(`pod ${target.name} is already assigned to node ${JSON.stringify(pod.spec.nodeName)}`);
    if (pod.spec?.schedulingGates?.length) throw refuse(`pod ${target.name} has non-empty .spec.schedulingGates`);
    pod.spec = { ...pod.spec!, nodeName: node! };
    if (annotations) pod.metadata.annotations = { ...pod.metadata.annotations, ...annotations };
    const scheduled = {
      type: "PodScheduled",
      status: "True" as const,
      lastTransitionTime: formatTime(context.clock.now()),
    };
    const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== "PodScheduled");
    pod.status = { ...pod.status, conditions: [...others, scheduled] };
    return pod;
  });
}
