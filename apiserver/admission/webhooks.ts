import type { MutatingWebhook, ValidatingWebhook } from "../../api/generated/admissionregistration-v1.ts";
import { MutatingWebhookConfigurations, ValidatingWebhookConfigurations } from "../../api/generated/resources.ts";
import type { Resource } from "../../api/resource.ts";
import { Budget } from "../../apimachinery/cel/environment.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { jsonPatch } from "../../apimachinery/patch/json.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { badRequest, forbidden, internalError, type Status, StatusError } from "../../apimachinery/status.ts";
import type { Clock } from "../../base/clock.ts";
import { Counter, Histogram, type Registry as Metrics } from "../../base/metrics.ts";
import type { Rand } from "../../base/rand.ts";
import { decodeServed } from "../registry/decode.ts";
import { admissionRequest, inVersionOf, shown } from "./admission-request.ts";
import type { Attributes, Plugin } from "./chain.ts";
import type { Cluster } from "./cluster.ts";
import { type Expressions, scopeOf } from "./expressions.ts";
import { matchedVersion } from "./matching.ts";

/**
 * Admission webhooks: other servers change an object or refuse it, asked with an AdmissionReview over HTTPS. Those that
 * mutate are asked one after the other and see what was changed before; those that validate at the same time.
 * Source: k8s.io/apiserver/pkg/admission/plugin/webhook.
 */
type Webhook = MutatingWebhook | ValidatingWebhook;

export interface WebhookOptions {
  /** POSTs a review; throws an Error when there is no answer. */
  call(client: Webhook["clientConfig"], review: object, timeoutSeconds: number): Promise<unknown>;
  expressions: Expressions;
  metrics: Metrics;
  clock: Clock;
  rand: Rand;
}

interface Response {
  uid?: string;
  allowed?: boolean;
  status?: Partial<Status>;
  patch?: string;
  patchType?: string;
  warnings?: string[];
  auditAnnotations?: Record<string, string>;
}

export function webhookPlugins(options: WebhookOptions): { mutating: Plugin; validating: Plugin } {
  const asker = new Asker(options);
  return {
    mutating: {
      name: "MutatingAdmissionWebhook",
      reinvokes: true,
      mutate(attributes, cluster) {
        const hooks = cluster
          .list(MutatingWebhookConfigurations)
          .flatMap(({ metadata, webhooks = [] }) =>
            webhooks.map((hook): [string, MutatingWebhook] => [metadata.name, hook]),
          );
        return hooks.length > 0 && asker.mutate(hooks, attributes, cluster);
      },
    },
    validating: {
      name: "ValidatingAdmissionWebhook",
      validate(attributes, cluster) {
        const hooks = cluster.list(ValidatingWebhookConfigurations).flatMap(({ webhooks = [] }) => webhooks);
        if (hooks.length > 0) return asker.validate(hooks, attributes, cluster);
      },
    },
  };
}

class Asker {
  readonly #options: WebhookOptions;
  readonly #metrics: ReturnType<typeof makeMetrics>;
  /** What the webhooks that want to be asked again have seen of a request's object. */
  readonly #seen = new WeakMap<Attributes, Map<string, KubernetesObject | undefined>>();

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#metrics = makeMetrics(options.metrics);
  }

  /** Whether the object was changed. */
  async mutate(hooks: [string, MutatingWebhook][], attributes: Attributes, cluster: Cluster): Promise<boolean> {
    const seen = this.#seen.get(attributes) ?? new Map<string, KubernetesObject | undefined>();
    this.#seen.set(attributes, seen);
    let changed = false;
    for (const [i, [configuration, hook]] of hooks.entries()) {
      const key = `${configuration}/${hook.name}`;
      const unseen = seen.has(key) && !sameJson(seen.get(key), attributes.object);
      if (attributes.again && !unseen) continue;
      const position = `round_${attributes.again ? 1 : 0}_index_${i}`;
      const annotate = (what: string, more: object) => {
        const value = JSON.stringify({ configuration, webhook: hook.name, ...more });
        attributes.auditAnnotations.set(`${what}.webhook.admission.k8s.io/${position}`, value);
      };
      const note = (mutated: boolean) => annotate("mutation", { mutated });
      const asked = await this.#ask("admit", hook, attributes, cluster, position, () => note(false));
      if (asked && !isEmpty(asked.response.patch)) {
        if (attributes.object === undefined)
          throw internalError(new Error(`admission webhook ${JSON.stringify(hook.name)} ${noObject}`));
        const before = attributes.object;
        attributes.object = await this.#patched(hook, attributes, asked.version, asked.response);
        const mutated = !sameJson(before, attributes.object);
        note(mutated);
        const patch = JSON.parse(Buffer.from(asked.response.patch!, "base64").toString("utf8")) as unknown;
        annotate("patch", { patch, patchType: "JSONPatch" });
        changed ||= mutated;
      }
      if (asked && hook.reinvocationPolicy === "IfNeeded") seen.set(key, structuredClone(attributes.object));
    }
    return changed;
  }

  async validate(hooks: readonly ValidatingWebhook[], attributes: Attributes, cluster: Cluster): Promise<void> {
    const relevant = hooks.filter((hook) => matchedVersion(hook, attributes, cluster)); // their index counts only these
    const results = await Promise.allSettled(
      relevant.map((hook, i) => this.#ask("validating", hook, attributes, cluster, `round_0_index_${i}`)),
    );
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  /** Undefined when the webhook has no say. Throws its refusal, and what went wrong unless that is to be ignored. */
  async #ask(
    type: "admit" | "validating",
    hook: Webhook,
    attributes: Attributes,
    cluster: Cluster,
    position: string,
    asking?: () => void,
  ) {
    const version = matchedVersion(hook, attributes, cluster);
    if (version === undefined) return undefined;
    const request = {
      uid: this.#options.rand.uuid(),
      ...admissionRequest(attributes, version),
      object: await shown(attributes, version, attributes.object),
      oldObject: await shown(attributes, version, attributes.oldObject),
    };
    const { clock } = this.#options;
    const start = clock.monotonic();
    const labels = { name: hook.name, type, operation: attributes.operation };
    const observe = (rejected: boolean, code: number) => {
      this.#metrics.duration.observe({ ...labels, rejected: String(rejected) }, (clock.monotonic() - start) / 1000);
      this.#metrics.requests.inc({ ...labels, code: String(code), rejected: String(rejected) });
    };
    const reject = (errorType: string, code: number) =>
      this.#metrics.rejections.inc({ ...labels, error_type: errorType, rejection_code: String(code) });
    let response: Response;
    if (!(await this.#conditionsHold(hook, attributes, request))) return undefined;
    asking?.();
    try {
      if (attributes.dryRun && hook.sideEffects !== "None" && hook.sideEffects !== "NoneOnDryRun")
        throw badRequest(`admission webhook ${JSON.stringify(hook.name)} does not support dry run`);
      response = await this.#review(type, hook, request);
    } catch (error) {
      if (error instanceof StatusError) {
        reject("calling_webhook_error", error.code);
        throw error;
      }
      observe(hook.failurePolicy !== "Ignore", 0);
      if (hook.failurePolicy === "Ignore") {
        this.#metrics.failOpen.inc({ name: hook.name, type });
        attributes.auditAnnotations.set(
          `failed-open.${type === "admit" ? "mutation" : "validating"}.webhook.admission.k8s.io/${position}`,
          hook.name,
        );
        return undefined;
      }
      reject("calling_webhook_error", 500);
      throw internalError(
        new Error(`failed calling webhook ${JSON.stringify(hook.name)}: ${(error as Error).message}`, { cause: error }),
      );
    }
    for (const [key, value] of Object.entries(response.auditAnnotations ?? {}))
      attributes.auditAnnotations.set(`${hook.name}/${key}`, value);
    for (const warning of response.warnings ?? [])
      if (!attributes.warnings.includes(warning)) attributes.warnings.push(warning);
    if (response.allowed) {
      observe(false, 200);
      return { response, version };
    }
    const error = refused(hook.name, response.status ?? {});
    observe(true, 200);
    reject("no_error", error.code);
    throw error;
  }

  async #conditionsHold(
    hook: Webhook,
    attributes: Attributes,
    { object, oldObject, ...request }: { object: unknown; oldObject: unknown },
  ) {
    if (!hook.matchConditions?.length) return true;
    const scope = scopeOf(attributes.user, new Budget(), { object, oldObject, request });
    const problems: string[] = [];
    for (const { expression } of hook.matchConditions) {
      try {
        if ((await this.#options.expressions.evaluate(hook, expression, scope)) === false) return false;
      } catch (error) {
        problems.push(`expression '${expression}' resulted in error: ${(error as Error).message}`);
      }
    }
    if (problems.length > 0 && hook.failurePolicy !== "Ignore")
      throw forbidden(attributes.resource, attributes.name, problems[1] ? `[${problems.join(", ")}]` : problems[0]!);
    return problems.length === 0;
  }

  async #review(type: "admit" | "validating", hook: Webhook, request: { uid: string }): Promise<Response> {
    const version = hook.admissionReviewVersions.find((known) => known === "v1" || known === "v1beta1");
    if (version === undefined) throw new Error("webhook does not accept known AdmissionReview versions (v1, v1beta1)");
    const review = { kind: "AdmissionReview", apiVersion: `admission.k8s.io/${version}`, request };
    let answer: typeof review & { response?: Response };
    try {
      answer = (await this.#options.call(hook.clientConfig, review, hook.timeoutSeconds ?? 10)) as typeof answer;
    } catch (error) {
      throw new Error(`failed to call webhook: ${(error as Error).message}`, { cause: error });
    }
    const problem = problemOf(answer, { ...review, type });
    if (problem !== undefined) throw new Error(`received invalid webhook response: ${problem}`);
    return answer.response!;
  }

  async #patched(hook: Webhook, attributes: Attributes, version: Resource, { patch = "" }: Response) {
    try {
      const operations = JSON.parse(Buffer.from(patch, "base64").toString("utf8")) as unknown;
      const result = jsonPatch(await shown(attributes, version, attributes.object), operations);
      if (attributes.kind.kind !== attributes.resource.kind) return result as KubernetesObject;
      const decoded = decodeServed(version, result, { options: { fieldValidation: "Ignore" }, warnings: [] });
      return await inVersionOf(attributes.resource, version.custom ? version : attributes.resource, decoded);
    } catch (error) {
      throw internalError(
        new Error(`failed to apply the patch of webhook ${JSON.stringify(hook.name)}: ${(error as Error).message}`, {
          cause: error,
        }),
      );
    }
  }
}

/** Source: k8s.io/apiserver/pkg/admission/plugin/webhook/request. */
function problemOf(
  answer: { kind?: string; apiVersion?: string; response?: Response } | null,
  { type, apiVersion, request }: { type: "admit" | "validating"; apiVersion: string; request: { uid: string } },
): string | undefined {
  const { response } = answer ?? {};
  if (typeof response !== "object" || response === null) return "webhook response was absent";
  if (apiVersion !== "admission.k8s.io/v1") return undefined;
  if (answer!.kind !== "AdmissionReview" || answer!.apiVersion !== apiVersion)
    return `expected webhook response of ${apiVersion}, Kind=AdmissionReview, got ${answer!.apiVersion ?? ""}, Kind=${answer!.kind ?? ""}`;
  const { uid = "", patch, patchType } = response;
  if (uid !== request.uid) return `expected response.uid=${JSON.stringify(request.uid)}, got ${JSON.stringify(uid)}`;
  if (type === "validating" && patch) return "validating webhook may not return response.patch";
  if (type === "validating" && patchType !== undefined) return "validating webhook may not return response.patchType";
  if (patch && patchType === undefined) return "webhook returned response.patch but not response.patchType";
  if (!patch && patchType !== undefined) return "webhook returned response.patchType but not response.patch";
  if (patchType !== undefined && patchType !== "JSONPatch")
    return `webhook returned invalid response.patchType of ${JSON.stringify(patchType)}`;
  return undefined;
}

/** A refusal is one, whatever the webhook says of it. */
function refused(name: string, status: Partial<Status>): StatusError {
  const denied = `admission webhook ${JSON.stringify(name)} denied the request`;
  const why = status.message || status.reason;
  return new StatusError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    ...(status.reason && { reason: status.reason }),
    ...(status.details && { details: status.details }),
    status: "Failure",
    message: why ? `${denied}: ${why}` : `${denied} without explanation`,
    code: (status.code ?? 0) < 400 ? 400 : status.code!,
  });
}

/** Also for a list without operations: some webhooks always send one. */
const isEmpty = (patch = ""): boolean => /^\s*(\[\s*\]\s*)?$/.test(Buffer.from(patch, "base64").toString("utf8"));

const noObject = "attempted to modify the object, which is not supported for this operation";

function makeMetrics(metrics: Metrics) {
  const registers = [metrics];
  const prefix = "apiserver_admission_webhook";
  const byCall = ["name", "type", "operation"];
  const counter = (name: string, help: string, ...labelNames: string[]) =>
    new Counter({ name: `${prefix}_${name}`, help, labelNames, registers });
  return {
    duration: new Histogram({
      name: `${prefix}_admission_duration_seconds`,
      help: "Time that a webhook took",
      labelNames: [...byCall, "rejected"],
      buckets: [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25],
      registers,
    }),
    requests: counter("request_total", "Calls of webhooks", ...byCall, "code", "rejected"),
    rejections: counter("rejection_count", "Requests refused", ...byCall, "error_type", "rejection_code"),
    failOpen: counter("fail_open_count", "Failures that were ignored", "name", "type"),
  };
}
