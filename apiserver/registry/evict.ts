import { isPodReady, isPodTerminal } from "../../api/core/pod-status.ts";
import type { Pod } from "../../api/generated/core-v1.ts";
import type { Eviction, PodDisruptionBudget } from "../../api/generated/policy-v1.ts";
import type { DeleteOptions } from "../../apimachinery/generated/meta-v1.ts";
import { labelSelector, matches } from "../../apimachinery/selectors.ts";
import { badRequest, failure, forbidden, isConflict, tooManyRequests } from "../../apimachinery/status.ts";
import { formatTime } from "../../apimachinery/time.ts";
import type { Body } from "../request.ts";
import { admit, attributesOf } from "./admit.ts";
import { live, type Place, prefixOfList, prefixOfResource } from "./context.ts";
import { isDryRun } from "./decode.ts";
import { checkPreconditions, remove } from "./delete.ts";
import { modify } from "./modify.ts";
import type { WriteOptions } from "./write.ts";

/**
 * POST pods/eviction: a delete that asks the Pod's PodDisruptionBudget first. Each granted eviction is counted in the
 * budget's status, which its controller confirms. Throws 429 when the budget does not allow it, and 500 for a Pod with two.
 * Source: KEP-85; texts as pkg/registry/core/pod/storage/eviction.go.
 */
export async function evict(
  at: Place,
  budgets: Place["resource"],
  eviction: Eviction,
  write: WriteOptions,
): Promise<void> {
  const { context, resource: pods, target } = at;
  if (eviction.metadata.name && eviction.metadata.name !== target.name)
    throw badRequest("name in URL does not match name in Eviction object");
  const sent = (eviction.deleteOptions ?? {}) as DeleteOptions;
  const dryRun = write.dryRun || isDryRun(sent.dryRun);
  const options: DeleteOptions = { ...sent, ...(dryRun ? { dryRun: ["All"] } : {}) };
  await admit(context, attributesOf("CREATE", at, [eviction, undefined], { ...write, dryRun }, evictionKind));
  const own = { ...at, target: { ...target, subresource: "" } };
  const status = { ...at, target: { ...target, subresource: "status" } };
  /** Marks the Pod as disrupted, for whoever counts failures, and deletes it. */
  const removeAt = async (resourceVersion: string | undefined) => {
    const preconditions = { ...(resourceVersion ? { resourceVersion } : {}), ...options.preconditions };
    const now = formatTime(context.clock.now());
    const { stored } = await modify(status, dryRun, (pod) => {
      checkPreconditions(pods, pod, { preconditions });
      return disrupted(pod as Pod, now);
    });
    if (preconditions.resourceVersion && !dryRun) preconditions.resourceVersion = String(stored.revision);
    await remove(own, { ...options, preconditions }, write);
  };
  for (let attempt = 1; ; attempt++) {
    const pod = (await live(own)).parse() as Pod;
    const { resourceVersion, deletionTimestamp } = pod.metadata;
    const over = isPodTerminal(pod) || deletionTimestamp !== undefined;
    if (!over && pod.status?.phase !== "Pending")
      return evictRunning({ ...at, resource: budgets }, pod, dryRun, removeAt);
    try {
      // One that ran in the meantime must not slip past its budget.
      await removeAt(over ? undefined : resourceVersion);
      return;
    } catch (error) {
      if (!isConflict(error) || options.preconditions?.resourceVersion || attempt === maxAttempts) throw error;
    }
  }
}

function disrupted(pod: Pod, now: string): Pod {
  const conditions = pod.status?.conditions ?? [];
  if (conditions.some(({ type, status }) => type === "DisruptionTarget" && status === "True")) return pod;
  const condition = {
    type: "DisruptionTarget",
    status: "True" as const,
    lastTransitionTime: now,
    reason: "EvictionByEvictionAPI",
    message: "Eviction API: evicting",
  };
  pod.status = { ...pod.status, conditions: [...conditions.filter((c) => c.type !== condition.type), condition] };
  return pod;
}

/** policy/v1beta1 is gone but for its Evictions, which older kubectls send. */
export function evictionBody(body: Body): Body {
  const text = body.bytes.toString("utf8");
  const older = text.startsWith("{") && text.includes('"policy/v1beta1"');
  return older ? { ...body, bytes: Buffer.from(text.replace('"policy/v1beta1"', '"policy/v1"')) } : body;
}

async function evictRunning(
  at: Place,
  pod: Pod,
  dryRun: boolean,
  removeAt: (resourceVersion: string | undefined) => Promise<unknown>,
): Promise<void> {
  const { context, resource: budgets } = at;
  const found = await budgetsOf(at, pod);
  if (found.length > 1)
    throw failure(
      500,
      "",
      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    );
  const [budget] = found;
  if (budget === undefined) return void (await removeAt(undefined));
  const { name, namespace = "" } = budget.metadata;
  const { currentHealthy = 0, desiredHealthy = 0 } = budget.status ?? {};
  const unready = !isPodReady(pod);
  const alwaysAllowed = unready && budget.spec.unhealthyPodEvictionPolicy === "AlwaysAllow";
  if (alwaysAllowed || (unready && currentHealthy >= desiredHealthy && desiredHealthy > 0)) {
    try {
      return void (await removeAt(pod.metadata.resourceVersion));
    } catch (error) {
      throw isConflict(error) ? beingProcessed(name) : error; // it became ready: ask again
    }
  }
  const status = { ...at, target: { ...budgets, namespace, name, subresource: "status" } };
  const now = formatTime(context.clock.now());
  await modify(status, dryRun, (old) => charged(old as PodDisruptionBudget, pod.metadata.name, now));
  await removeAt(undefined);
}

/** The budget after one more eviction, or the refusal. Pure. */
function charged(budget: PodDisruptionBudget, podName: string, now: string): PodDisruptionBudget {
  const { name, generation = 0 } = budget.metadata;
  const status = budget.status!;
  const refuse = (text: string) => forbidden({ group: "policy", resource: "poddisruptionbudget" }, name, text);
  if ((status.observedGeneration ?? 0) < generation) throw beingProcessed(name);
  if (status.disruptionsAllowed < 0) throw refuse("pdb disruptions allowed is negative");
  if (Object.keys(status.disruptedPods ?? {}).length > maxDisruptedPods)
    throw refuse("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
  if (status.disruptionsAllowed === 0) {
    const { desiredHealthy, currentHealthy } = status;
    throw blocked(
      `The disruption budget ${name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`,
    );
  }
  status.disruptionsAllowed--;
  status.disruptedPods = { ...status.disruptedPods, [podName]: now };
  if (status.disruptionsAllowed > 0) return budget;
  const others = (status.conditions ?? []).filter(({ type }) => type !== "DisruptionAllowed");
  const before = status.conditions?.find(({ type }) => type === "DisruptionAllowed");
  status.conditions = [
    ...others,
    {
      type: "DisruptionAllowed",
      status: "False",
      observedGeneration: status.observedGeneration!,
      lastTransitionTime: before?.status === "False" ? before.lastTransitionTime : now,
      reason: "InsufficientPods",
      message: "",
    },
  ];
  return budget;
}

async function budgetsOf({ context, resource }: Place, { metadata }: Pod): Promise<PodDisruptionBudget[]> {
  await context.cache.consistent();
  const { namespace = "", labels = {} } = metadata;
  const found: PodDisruptionBudget[] = [];
  for (const stored of context.cache.resource(prefixOfResource(resource)).under(prefixOfList(resource, namespace))) {
    const budget = stored.parse() as PodDisruptionBudget;
    const selector = labelSelector(budget.spec.selector);
    // As upstream: an empty one selects nothing here, though it selects everything for the controller.
    if (selector.length > 0 && matches(selector, labels)) found.push(budget);
  }
  return found;
}

function blocked(message: string, retryAfterSeconds = 0) {
  const error = tooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", retryAfterSeconds);
  error.status.details = { ...error.status.details, causes: [{ reason: "DisruptionBudget", message }] };
  return error;
}

const beingProcessed = (name: string) =>
  blocked(`The disruption budget ${name} is still being processed by the server.`, 10);

const evictionKind = { group: "policy", version: "v1", kind: "Eviction" };
const maxDisruptedPods = 2000;
const maxAttempts = 20;
