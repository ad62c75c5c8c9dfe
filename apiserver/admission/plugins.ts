import type { Clock } from "../../base/clock.ts";
import type { Registry as Metrics } from "../../base/metrics.ts";
import type { Rand } from "../../base/rand.ts";
import type { Authorizer } from "../authz/authorizer.ts";
import { certificateApproval, certificateSigning, certificateSubjectRestriction } from "./certificates.ts";
import type { Plugin } from "./chain.ts";
import { defaultIngressClass, defaultStorageClass, persistentVolumeClaimResize } from "./default-classes.ts";
import { defaultTolerationSeconds } from "./default-toleration-seconds.ts";
import { Expressions } from "./expressions.ts";
import { type ImagePolicy, imagePolicyWebhook } from "./image-policy.ts";
import { limitRanger } from "./limit-ranger.ts";
import { namespaceLifecycle } from "./namespace-lifecycle.ts";
import { nodeRestriction } from "./node-restriction.ts";
import { alwaysPullImages, extendedResourceToleration } from "./off-by-default.ts";
import { type PodSecurityConfiguration, podSecurity } from "./pod-security.ts";
import { priority } from "./priority.ts";
import { resourceQuota } from "./resource-quota.ts";
import { runtimeClass } from "./runtime-class.ts";
import { serviceAccount } from "./service-account.ts";
import { storageObjectInUseProtection } from "./storage-object-in-use-protection.ts";
import { taintNodesByCondition } from "./taint-nodes-by-condition.ts";
import { validatingAdmissionPolicy } from "./validating-admission-policy.ts";
import { type WebhookOptions, webhookPlugins } from "./webhooks.ts";

export interface PluginOptions {
  tolerationSeconds: { notReady: number; unreachable: number };
  authorizer: Authorizer;
  callWebhook: WebhookOptions["call"];
  metrics: Metrics;
  clock: Clock;
  rand: Rand;
  /** Beside those that are on by default. */
  enable?: readonly string[] | undefined;
  disable?: readonly string[] | undefined;
  /** Of ImagePolicyWebhook, which is nothing without it. */
  imagePolicy?: ImagePolicy | undefined;
  podSecurity?: PodSecurityConfiguration | undefined;
}

/** The plug-ins that are on, in upstream's order. Throws RangeError for a name that there is not. */
export function admissionPlugins(options: PluginOptions): Plugin[] {
  const { enable = [], disable = [], authorizer, metrics } = options;
  const expressions = new Expressions(authorizer);
  const webhooks = webhookPlugins({ ...options, call: options.callWebhook, expressions });
  const all: Plugin[] = [
    namespaceLifecycle,
    limitRanger,
    serviceAccount(options.clock, options.rand),
    nodeRestriction(authorizer),
    taintNodesByCondition,
    alwaysPullImages,
    imagePolicyWebhook(options.imagePolicy, { ...options, call: options.callWebhook }),
    podSecurity(options.podSecurity),
    priority,
    defaultTolerationSeconds(options.tolerationSeconds),
    extendedResourceToleration,
    defaultStorageClass,
    storageObjectInUseProtection,
    persistentVolumeClaimResize,
    runtimeClass,
    certificateApproval(authorizer),
    certificateSigning(authorizer),
    certificateSubjectRestriction,
    defaultIngressClass,
    webhooks.mutating,
    validatingAdmissionPolicy(expressions, metrics),
    webhooks.validating,
    resourceQuota(),
  ];
  const names = new Set(all.map(({ name }) => name));
  for (const [flag, given] of [["enable", enable] as const, ["disable", disable] as const])
    for (const name of given)
      if (!names.has(name)) throw new RangeError(`${flag}-admission-plugins plugin ${JSON.stringify(name)} is unknown`);
  const both = enable.filter((name) => disable.includes(name));
  if (both.length > 0)
    throw new RangeError(`[${both.join(" ")}] in enable-admission-plugins and disable-admission-plugins overlapped`);
  if (enable.includes("ImagePolicyWebhook") && options.imagePolicy === undefined)
    throw new RangeError('couldn\'t init admission plugin "ImagePolicyWebhook": no config specified');
  return all.filter(({ name }) => !disable.includes(name) && (!offByDefault.has(name) || enable.includes(name)));
}

const offByDefault: ReadonlySet<string> = new Set([
  "AlwaysPullImages",
  "ExtendedResourceToleration",
  "ImagePolicyWebhook",
]);
