import { inOrder, invalid, type Problems, required } from "../../apimachinery/field-error.ts";
import { dns1123Label } from "../../apimachinery/names.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { labelSelector, matches } from "../../apimachinery/selectors.ts";
import { humanDuration, parseTime } from "../../apimachinery/time.ts";
import { ageColumn, column, nameColumn, selectorText, templateColumns } from "../columns.ts";
import { templateWarnings } from "../core/pod-warnings.ts";
import type { Job } from "../generated/batch-v1.ts";
import type { PodTemplateSpec } from "../generated/core-v1.ts";
import { Jobs } from "../generated/resources.ts";
import { defineResource, immutableField, namespaced, rules, specAndStatus } from "../kind.ts";
import { defaultJobSpec, defaultJobTemplate } from "./job-defaults.ts";
import { jobCondition, validateJobStatus } from "./job-status.ts";
import { validateJobSpec } from "./job-validation.ts";

export const jobs = defineResource(Jobs, {
  warnings: templateWarnings,
  categories: ["all"],
  subresources: ["status"],
  selectable: { "status.successful": "" },
  unknownField: (name) => `field label "${name}" not supported for batchv1.Job`,
  fields: ({ status }) => ({ "status.successful": String(status?.succeeded ?? 0) }),
  defaults(job) {
    const { spec } = job;
    defaultJobTemplate(spec);
    defaultJobSpec(spec);
    defaultLabels(job);
  },
  ...specAndStatus,
  prepareForCreate(job) {
    specAndStatus.prepareForCreate(job);
    const shared = job.metadata.labels === job.spec.template.metadata?.labels;
    generateSelector(job);
    const { labels } = job.spec.template.metadata ?? {};
    if (shared && labels) job.metadata.labels = { ...labels };
  },
  ...rules(namespaced, validate, onlySome, validateJobStatus),
  columns: [
    nameColumn,
    column("Status", jobStatus, "Where the Job is in its life."),
    column("Completions", completions, "Pods that succeeded out of those wanted."),
    column("Duration", duration, "How long it ran."),
    ageColumn,
    ...templateColumns<Job>((spec) => selectorText(spec.selector)),
  ],
});

const uidLabels = ["batch.kubernetes.io/controller-uid", "controller-uid"] as const;
const nameLabels = ["batch.kubernetes.io/job-name", "job-name"] as const;

/** A Job's Pods are found by its uid, unless the client sets `manualSelector`. */
function generateSelector({ metadata, spec }: Job): void {
  if (spec.manualSelector) return;
  const { uid = "", name } = metadata;
  spec.template.metadata ??= {};
  const generated = Object.fromEntries([...nameLabels.map((l) => [l, name]), ...uidLabels.map((l) => [l, uid])]);
  // What the client wrote stays; validation refuses what is not the same.
  spec.template.metadata.labels = { ...generated, ...spec.template.metadata.labels };
  spec.selector ??= {};
  spec.selector.matchLabels = { [uidLabels[0]]: uid, ...spec.selector.matchLabels };
}

/** The template's labels are the Job's own, as one map: what a new Job's template is given, the Job is given, too. */
function defaultLabels({ metadata, spec }: Job): void {
  const labels = spec.template.metadata?.labels;
  if (labels && !Object.keys(metadata.labels ?? {}).length) metadata.labels = labels;
}

function* validate(job: Job): Problems {
  yield* validateGeneratedSelector(job);
  yield* validateJobSpec(job.spec, "spec");
  const { name } = job.metadata;
  const { completionMode, completions = 0 } = job.spec;
  const longest = `${name}-${completions - 1}`;
  if (completionMode === "Indexed" && completions > 0 && dns1123Label(longest).length > 0)
    yield invalid("metadata.name", name, `will not able to create pod with invalid DNS label: ${longest}`);
}

function* validateGeneratedSelector({ metadata, spec }: Job): Problems {
  if (spec.manualSelector || !spec.selector) return;
  if (!metadata.uid) yield required("metadata.uid");
  const labels = spec.template?.metadata?.labels ?? {};
  const own = [metadata.uid ?? "", metadata.name];
  // The older ones first.
  const expected = Object.fromEntries(
    [1, 0].flatMap((age) => [uidLabels, nameLabels].map((keys, i) => [keys[age]!, own[i]!])),
  );
  for (const [key, value] of Object.entries(expected)) {
    const at = `spec.template.metadata.labels[${key}]`;
    if (labels[key] === undefined) yield required(at, `must be '${value}'`);
    else if (labels[key] !== value) yield invalid(at, inOrder(labels), `must be '${value}'`);
  }
  try {
    if (!matches(labelSelector(spec.selector), expected))
      yield invalid("spec.selector", spec.selector, "`selector` not auto-generated");
  } catch {
    // Its own rules say what is wrong with it.
  }
}

/** While a Job is suspended and never started, where its Pods may run can still be said. */
function* onlySome({ spec }: Job, old: Job): Problems {
  const before = old.spec;
  if (!sameJson(spec.completions, before.completions)) {
    if (spec.completionMode !== "Indexed")
      yield* immutableField("spec.completions", spec.completions, before.completions);
    else if (spec.completions !== undefined && spec.completions !== spec.parallelism)
      yield invalid("spec.completions", spec.completions, "can only be modified in tandem with spec.parallelism");
  }
  const steerable = before.suspend === true && old.status?.startTime === undefined;
  const fixed = (template: PodTemplateSpec) => (steerable ? withoutPlacement(template) : template);
  yield* immutableField("spec.selector", spec.selector, before.selector);
  if (!sameJson(fixed(spec.template), fixed(before.template)))
    yield* immutableField("spec.template", spec.template, before.template);
  const keys = ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] as const;
  for (const key of keys) yield* immutableField(`spec.${key}`, spec[key], before[key]);
}

/** Where Pods may run: their labels, and of the affinity what names nodes. */
function withoutPlacement({ metadata, spec }: PodTemplateSpec): unknown {
  const { labels: _, annotations: __, ...meta } = metadata ?? {};
  const { nodeSelector: ___, affinity = {}, tolerations: ____, schedulingGates: _____, ...rest } = spec;
  const { nodeAffinity: ______, ...others } = affinity;
  return { metadata: meta, spec: { ...rest, affinity: others } };
}

function jobStatus({ metadata, status }: Job): string {
  const word = (...types: string[]) => types.find((type) => jobCondition(status, type));
  const ended = word("Complete", "Failed") ?? (metadata.deletionTimestamp && "Terminating");
  return ended ?? word("Suspended", "FailureTarget", "SuccessCriteriaMet") ?? "Running";
}

function completions({ spec, status }: Job): string {
  const done = status?.succeeded ?? 0;
  if (spec.completions !== undefined) return `${done}/${spec.completions}`;
  const parallelism = spec.parallelism ?? 0;
  return parallelism > 1 ? `${done}/1 of ${parallelism}` : `${done}/1`;
}

function duration({ status }: Job, now: number): string {
  const start = parseTime(status?.startTime);
  if (Number.isNaN(start)) return "";
  const end = parseTime(status?.completionTime);
  return humanDuration((Number.isNaN(end) ? now : end) - start);
}
