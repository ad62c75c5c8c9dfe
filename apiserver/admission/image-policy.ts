import { dirname, resolve } from "node:path";
import type { Pod } from "../../api/generated/core-v1.ts";
import { forbidden } from "../../apimachinery/status.ts";
import { type Clock, sleep } from "../../base/clock.ts";
import { type ClientConfig, remembering, webhookOf } from "../webhook-client.ts";
import type { Plugin } from "./chain.ts";
import { configurationOf } from "./configuration.ts";
import type { WebhookOptions } from "./webhooks.ts";

/**
 * ImagePolicyWebhook: a backend is asked with an ImageReview whether a Pod's images may run
 * (k8s.io/kubernetes/plugin/pkg/admission/imagepolicy, api imagepolicy.k8s.io/v1alpha1).
 */
export interface ImagePolicy {
  webhook: ClientConfig;
  /** How long a backend's yes and no are kept, and the first pause before it is asked again; 0: not at all. */
  allowMs: number;
  denyMs: number;
  retryMs: number;
  /** What holds while the backend cannot be asked. */
  defaultAllow: boolean;
}

/** Out of the file of --admission-control-config-file. Throws RangeError for what cannot be. */
export function imagePolicyOf(file: string): ImagePolicy | undefined {
  const found = configurationOf<Configuration>(file, name);
  if (found === undefined) return undefined;
  const { path, configuration: own } = found;
  const { kubeConfigFile, allowTTL, denyTTL, retryBackoff, defaultAllow = false } = own.imagePolicy ?? {};
  if (!kubeConfigFile) throw new RangeError(`${path}: imagePolicy.kubeConfigFile is missing`);
  return {
    webhook: webhookOf(resolve(dirname(path), kubeConfigFile)),
    allowMs: duration(allowTTL, 1000, [1000, 30 * 60_000], 5 * 60_000),
    denyMs: duration(denyTTL, 1000, [1000, 30 * 60_000], 30_000),
    retryMs: duration(retryBackoff, 1, [1, 5 * 60_000], 500),
    defaultAllow,
  };
}

interface Configuration {
  imagePolicy?: Partial<Record<"allowTTL" | "denyTTL" | "retryBackoff", number>> & {
    kubeConfigFile?: string;
    defaultAllow?: boolean;
  };
}

/** -1 turns it off, 0 is the default. */
function duration(value = 0, unitMs: number, [least, most]: [number, number], byDefault: number): number {
  if (value === -1) return 0;
  if (value === 0) return byDefault;
  const ms = value * unitMs;
  if (ms < least || ms > most)
    throw new RangeError(`valid value is between ${least} ms and ${most} ms, got ${ms} ms (${name})`);
  return ms;
}

export function imagePolicyWebhook(
  policy: ImagePolicy | undefined,
  { call, clock }: { call: WebhookOptions["call"]; clock: Clock },
): Plugin {
  if (policy === undefined) return { name };
  const { webhook, allowMs, denyMs, retryMs, defaultAllow } = policy;
  const ask = remembering(clock, async (spec: ImageReview["spec"]) => {
    const review: ImageReview = { apiVersion: "imagepolicy.k8s.io/v1alpha1", kind: "ImageReview", spec };
    for (let attempt = 1, pauseMs = retryMs; ; attempt++, pauseMs *= 1.5) {
      try {
        const { status = {} } = (await call(webhook, review, timeoutSeconds)) as ImageReview;
        return { value: status, ms: status.allowed ? allowMs : denyMs };
      } catch (error) {
        if (attempt === attempts || retryMs === 0) throw error;
        await sleep(clock, pauseMs);
      }
    }
  });
  return {
    name,
    async validate({ resource, subresource, operation, object, name: podName, namespace, auditAnnotations }) {
      const ephemeral = subresource === "ephemeralcontainers";
      if (resource.resource !== "pods" || resource.group !== "" || (subresource !== "" && !ephemeral)) return;
      if (operation !== "CREATE" && operation !== "UPDATE") return;
      const { metadata, spec } = object as Pod;
      const { containers, initContainers = [], ephemeralContainers = [] } = spec;
      const images = ephemeral ? ephemeralContainers : [...containers, ...initContainers];
      const annotations = Object.entries(metadata.annotations ?? {}).filter(([key]) => key.includes(ownAnnotation));
      let status: NonNullable<ImageReview["status"]>;
      try {
        status = await ask({
          containers: images.map(({ image = "" }) => ({ image })),
          ...(annotations.length > 0 ? { annotations: Object.fromEntries(annotations) } : {}),
          namespace,
        });
      } catch (error) {
        if (!defaultAllow) throw forbidden(resource, podName, (error as Error).message);
        auditAnnotations.set(`${auditPrefix}failed-open`, "true");
        metadata.annotations = { ...metadata.annotations, "alpha.image-policy.k8s.io/failed-open": "true" };
        return;
      }
      for (const [key, value] of Object.entries(status.auditAnnotations ?? {}))
        auditAnnotations.set(auditPrefix + key, value);
      if (status.allowed) return;
      const text = status.reason
        ? `image policy webhook backend denied one or more images: ${status.reason}`
        : "one or more images rejected by webhook backend";
      throw forbidden(resource, podName, text);
    },
  };
}

interface ImageReview {
  apiVersion: string;
  kind: string;
  spec: { containers: { image: string }[]; annotations?: Record<string, string>; namespace: string };
  status?: { allowed?: boolean; reason?: string; auditAnnotations?: Record<string, string> };
}

const name = "ImagePolicyWebhook";
const ownAnnotation = ".image-policy.k8s.io/";
const auditPrefix = "imagepolicywebhook.image-policy.k8s.io/";
const attempts = 5;
const timeoutSeconds = 30;
