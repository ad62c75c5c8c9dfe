import { apiVersionOf } from "../../apimachinery/object.ts";
import { parseYaml } from "../../apimachinery/schema/yaml.ts";
import { type Status, statusOf } from "../../apimachinery/status.ts";
import { formatMicroTime } from "../../apimachinery/time.ts";
import type { Clock } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import type { Answer } from "../answer.ts";
import { userInfoOf } from "../authn/reviews.ts";
import type { Attributes } from "../authz/authorizer.ts";
import { type ApiRequest, type Body, type Caller, pathOf, type User } from "../request.ts";
import { type Decided, decide, type Policy, type Stage } from "./policy.ts";

/** Where events go. */
export interface AuditSink {
  /** A promise is what the request waits for. */
  write(line: string): Promise<void> | void;
  close(): Promise<void> | void;
}

interface AuditOptions {
  policy: Policy;
  sinks: readonly AuditSink[];
  clock: Clock;
  rand: Rand;
}

/** What is audited of a request before it is known what becomes of it. */
export interface Asked {
  attributes: Attributes;
  /** Whom the user acts as. */
  impersonated: User | undefined;
  caller: Caller | undefined;
  userAgent: string | undefined;
  body?: Body | undefined;
  /** Filled on the way. */
  annotations: Map<string, string>;
}

/**
 * The audit log: what each client asked for and what it got, as the policy says, one audit.k8s.io/v1 Event a stage and
 * line. Differs: a request object in protobuf is left out.
 */
export class Audit {
  readonly #options: AuditOptions;

  constructor(options: AuditOptions) {
    this.#options = options;
  }

  /** Undefined when the policy wants nothing of it. */
  begin(asked: Asked): AuditedRequest | undefined {
    const decided = decide(this.#options.policy, asked.attributes);
    if (decided.level === "None") return undefined;
    const audited = new AuditedRequest(this.#options, decided, asked);
    audited.event("RequestReceived");
    return audited;
  }
}

export class AuditedRequest {
  readonly #options: AuditOptions;
  readonly #decided: Decided;
  readonly #asked: Asked;
  readonly #id: string;
  readonly #received: string;
  #pending: (Promise<void> | void)[] = [];

  constructor(options: AuditOptions, decided: Decided, asked: Asked) {
    this.#options = options;
    this.#decided = decided;
    this.#asked = asked;
    this.#id = asked.caller?.auditID || options.rand.uuid();
    this.#received = formatMicroTime(options.clock.now());
  }

  /** A watch or stream is started now and complete when it ends. */
  answered(answer: Answer, { signal }: Pick<ApiRequest, "signal">): void {
    if (answer.type === "Object")
      return this.event("ResponseComplete", { code: answer.code }, () => answer.object.parse());
    if (answer.type === "List") {
      const { resource, list } = answer;
      const { items, ...metadata } = list;
      const whole = () => ({
        kind: resource.listKind,
        apiVersion: apiVersionOf(resource),
        metadata,
        items: items.map((item) => item.parse()),
      });
      return this.event("ResponseComplete", { code: 200 }, whole);
    }
    if (answer.type === "Connect") {
      answer.answered = (code) => this.#started(code, signal);
      return;
    }
    const end = this.#started(200, signal);
    if (answer.type !== "Watch") return;
    const { watch } = answer;
    const { start } = watch;
    watch.start = (sink) => {
      const original = sink.end.bind(sink);
      sink.end = (...last) => {
        end();
        original(...last);
      };
      start.call(watch, sink);
    };
  }

  #started(code: number, signal: AbortSignal): () => void {
    this.event("ResponseStarted", { code });
    let complete = false;
    const end = () => {
      if (!complete) this.event("ResponseComplete", { code });
      complete = true;
    };
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
    return end;
  }

  failed(error: unknown): void {
    const status = statusOf(error);
    this.event("ResponseComplete", status, () => status);
  }

  event(stage: Stage, status?: Partial<Status>, response?: () => object): void {
    const { level, omitStages, omitManagedFields } = this.#decided;
    if (omitStages.includes(stage)) return;
    const { attributes, impersonated, caller, userAgent, body, annotations } = this.#asked;
    const now = formatMicroTime(this.#options.clock.now());
    const strip = <T>(object: T) => (omitManagedFields ? withoutManagedFields(object) : object);
    const requestObject = level !== "Metadata" && body ? jsonOf(body) : undefined;
    const noted = [...annotations].filter(([key]) => level !== "Metadata" || !key.startsWith(patchAnnotation));
    const { kind: _k, apiVersion: _a, ...responseStatus } = { metadata: {}, ...status };
    const event = {
      kind: "Event",
      apiVersion: "audit.k8s.io/v1",
      level,
      auditID: this.#id,
      stage,
      requestURI: caller?.uri ?? uriOf(attributes),
      verb: attributes.verb,
      user: userInfoOf(attributes.user),
      ...(impersonated ? { impersonatedUser: userInfoOf(impersonated) } : {}),
      ...(caller?.sourceIPs.length ? { sourceIPs: caller.sourceIPs } : {}),
      ...(userAgent ? { userAgent } : {}),
      ...objectRefOf(attributes),
      ...(status ? { responseStatus } : {}),
      ...(requestObject === undefined ? {} : { requestObject: strip(requestObject) }),
      ...(level === "RequestResponse" && response ? { responseObject: strip(response()) } : {}),
      requestReceivedTimestamp: stage === "RequestReceived" ? now : this.#received,
      stageTimestamp: now,
      ...(noted.length > 0 ? { annotations: Object.fromEntries(noted) } : {}),
    };
    const line = JSON.stringify(event);
    this.#pending = this.#options.sinks.map((sink) => sink.write(line));
  }

  /** Resolves when whoever the request waits for has its last event. */
  async stored(): Promise<void> {
    await Promise.all(this.#pending);
  }
}

/** What a webhook changed is part of the request's body. */
const patchAnnotation = "patch.webhook.admission.k8s.io/";

function objectRefOf(attributes: Attributes): object {
  if ("path" in attributes) return {};
  const { group, version, resource, namespace, name, subresource } = attributes.target;
  const parts = { resource, namespace, name, apiGroup: group, apiVersion: version, subresource };
  return { objectRef: Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== "")) };
}

/** What came over gRPC has no address: the one that it would have over REST. */
const uriOf = (attributes: Attributes): string => ("path" in attributes ? attributes.path : pathOf(attributes.target));

function jsonOf({ contentType, bytes }: Body): unknown {
  if (bytes.length === 0 || contentType.includes("protobuf")) return undefined;
  try {
    const text = bytes.toString("utf8");
    return contentType.includes("yaml") ? parseYaml(text).value : JSON.parse(text);
  } catch {
    return undefined; // the answer says what was wrong with it
  }
}

function withoutManagedFields<T>(object: T): T {
  const { metadata, items } = object as { metadata?: { managedFields?: unknown }; items?: unknown[] };
  if (metadata?.managedFields === undefined && items === undefined) return object;
  const { managedFields: _, ...rest } = metadata ?? {};
  return { ...object, metadata: rest, ...(items ? { items: items.map(withoutManagedFields) } : {}) };
}
