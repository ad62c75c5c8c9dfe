import type { Deployment, ReplicaSet } from "../../api/generated/apps-v1.ts";
import type { PodTemplateSpec } from "../../api/generated/core-v1.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { parseTime } from "../../apimachinery/time.ts";
import { maxSurge } from "./sizes.ts";

/** Which ReplicaSet stands for which template, and the annotations that carry its history (pkg/controller/deployment/util). */
export const templateHashLabel = "pod-template-hash";
export const revisionAnnotation = "deployment.kubernetes.io/revision";
const revisionHistoryAnnotation = "deployment.kubernetes.io/revision-history";
export const desiredReplicasAnnotation = "deployment.kubernetes.io/desired-replicas";
export const maxReplicasAnnotation = "deployment.kubernetes.io/max-replicas";

/** Of a Deployment, not for its ReplicaSets. */
const notCopied = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  revisionAnnotation,
  revisionHistoryAnnotation,
  desiredReplicasAnnotation,
  maxReplicasAnnotation,
  "deprecated.deployment.rollback.to",
]);

const maxHistoryLength = 2000;

/** The ReplicaSet of the present template; the oldest, if several have it. */
export function findNew({ spec }: Deployment, replicaSets: readonly ReplicaSet[]): ReplicaSet | undefined {
  return byCreation(replicaSets).find((replicaSet) => sameTemplate(replicaSet.spec.template, spec.template));
}

/** Equal but for the hash label. */
export function sameTemplate(a: PodTemplateSpec | undefined, b: PodTemplateSpec | undefined): boolean {
  return sameJson(withoutHash(a), withoutHash(b));
}

function withoutHash(template: PodTemplateSpec | undefined): unknown {
  const { [templateHashLabel]: _, ...labels } = template?.metadata?.labels ?? {};
  return { ...template, metadata: { ...template?.metadata, labels } };
}

export function byCreation(replicaSets: readonly ReplicaSet[]): ReplicaSet[] {
  const created = ({ metadata }: ReplicaSet) => parseTime(metadata.creationTimestamp) || Number.POSITIVE_INFINITY;
  return [...replicaSets].sort((a, b) => created(a) - created(b) || (a.metadata.name < b.metadata.name ? -1 : 1));
}

export function revisionOf({ metadata }: { metadata: { annotations?: Record<string, string> } }): number {
  const revision = Number(metadata.annotations?.[revisionAnnotation] ?? 0);
  return Number.isInteger(revision) ? revision : 0;
}

/**
 * The annotations that the Deployment's new ReplicaSet should have. Its revision becomes the newest; an older one (this
 * template was rolled out before) moves into the history.
 */
export function newAnnotations(
  deployment: Deployment,
  old: Record<string, string> | undefined,
  revision: number,
): Record<string, string> {
  const annotations = { ...old };
  for (const [key, value] of Object.entries(deployment.metadata.annotations ?? {})) {
    if (!notCopied.has(key)) annotations[key] = value;
  }
  const before = old?.[revisionAnnotation];
  if (Number(before ?? 0) < revision) {
    annotations[revisionAnnotation] = String(revision);
    if (before !== undefined) {
      const history = [...(old?.[revisionHistoryAnnotation] ?? "").split(",").filter(Boolean), before];
      while (history.join(",").length > maxHistoryLength) history.shift();
      annotations[revisionHistoryAnnotation] = history.join(",");
    }
  }
  return annotations;
}

/** What scaling in proportion needs to remember: the size of the Deployment that this ReplicaSet was scaled for. */
export function sizeAnnotations(deployment: Deployment): Record<string, string> {
  const replicas = deployment.spec.replicas ?? 1;
  return {
    [desiredReplicasAnnotation]: String(replicas),
    [maxReplicasAnnotation]: String(replicas + maxSurge(deployment)),
  };
}

/**
 * Names a template within a Deployment: 32-bit FNV-1a in letters and digits that form no words.
 * Differs: upstream hashes a dump of its Go structs, which only Go can make; we hash the template as canonical JSON. The
 * hash names, it does not compare: a ReplicaSet made by either is found by its template.
 */
export function templateHash(template: PodTemplateSpec, collisionCount: number | undefined): string {
  let hash = 0x811c9dc5;
  const text = canonical(template) + (collisionCount === undefined ? "" : `#${collisionCount}`);
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return Array.from(String(hash >>> 0), (c) => safeCharacters[c.charCodeAt(0) % safeCharacters.length]).join("");
}

const safeCharacters = "bcdfghjklmnpqrstvwxz2456789";

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${entries
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`)
    .join(",")}}`;
}
