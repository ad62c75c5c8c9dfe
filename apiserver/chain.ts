import { setMaxListeners } from "node:events";
import { sleep } from "../base/clock.ts";
import type { Answer } from "./answer.ts";
import type { Audit, AuditedRequest } from "./audit/audit.ts";
import { type Attributes, type Authorizer, forbiddenRequest, isSuperuser } from "./authz/authorizer.ts";
import type { FlowControl } from "./flowcontrol/flow-control.ts";
import { selectedName } from "./registry/list.ts";
import type { Registry } from "./registry/registry.ts";
import type { ApiRequest, Caller, User } from "./request.ts";
import { initializing } from "./storage/errors.ts";

/**
 * The way of a request behind both fronts, which have authenticated it: audit, impersonation, fairness, authorization,
 * then the registry (decoding, admission, the kind's strategy, storage).
 */
export class Chain {
  readonly authorizer: Authorizer;
  readonly #registry: Registry;
  readonly #audit: Audit | undefined;
  /** Aborted when the default roles are there. */
  readonly #policy = new AbortController();
  readonly #flow: FlowControl | undefined;

  constructor(registry: Registry, authorizer: Authorizer, audit?: Audit, flow?: FlowControl) {
    setMaxListeners(0, this.#policy.signal); // each request that waits listens
    this.#flow = flow;
    this.#audit = audit;
    this.#registry = registry;
    this.authorizer = authorizer;
  }

  /** The default roles are there: until then only superusers are answered, and the others wait a little for it. */
  policyWritten(): void {
    this.#policy.abort();
  }

  handle(request: ApiRequest): Promise<Answer> {
    const { user, target } = request;
    return this.#pass(attributesOf(user, request), request, true, async (audited) => {
      request.check = (other) => this.check({ user, verb: other, target });
      const answer = await this.#registry.handle(request);
      audited?.answered(answer, request);
      return answer;
    });
  }

  /** For paths that are no resources, and what other servers serve: `serve` answers, and tells with which code. */
  handlePath<T extends number | { code: number }>(
    request: Passing & Pick<ApiRequest, "user" | "userAgent">,
    what: Asked,
    serve: () => T | Promise<T>,
  ): Promise<T> {
    const checked = !("path" in what && isAlwaysAllowed(what.path));
    return this.#pass(attributesOf(request.user, what), request, checked, async (audited) => {
      const served = await serve();
      audited?.event("ResponseComplete", { code: typeof served === "number" ? served : served.code });
      return served;
    });
  }

  /** Nobody could be found to have sent it: that, too, is for the audit log. */
  unauthenticated(what: Asked, { userAgent, ...by }: Pick<Caller, "uri" | "sourceIPs"> & Agent, error: unknown): void {
    const user = { name: "", groups: [] };
    const caller = { user, needs: [], auditID: undefined, ...by };
    this.#begin(attributesOf(user, what), { user, caller, userAgent })?.failed(error);
  }

  async #pass<T>(
    attributes: Attributes,
    request: Passing & { user: User },
    checked: boolean,
    serve: (audited: AuditedRequest | undefined) => Promise<T>,
  ): Promise<T> {
    const audited = this.#begin(attributes, request);
    let release: (() => void) | undefined;
    await audited?.stored();
    try {
      release = await this.#admit(attributes, request);
      if (checked) await this.check(attributes, request.auditAnnotations);
      return await serve(audited);
    } catch (error) {
      audited?.failed(error);
      throw error;
    } finally {
      release?.();
      await audited?.stored();
    }
  }

  /** Throws upstream's 403, and 429 when the default roles are too long in coming. */
  async check(attributes: Attributes, annotations?: Map<string, string>): Promise<void> {
    const { signal: written } = this.#policy;
    if (!written.aborted && !isSuperuser(attributes.user)) {
      await sleep(this.#registry.context.clock, policyMs, written);
      if (!written.aborted) throw initializing();
    }
    const decision = await this.authorizer.authorize(attributes);
    const allowed = decision.type === "Allow";
    annotations?.set("authorization.k8s.io/decision", allowed ? "allow" : "forbid");
    annotations?.set("authorization.k8s.io/reason", decision.reason);
    if (!allowed) throw forbiddenRequest(attributes, decision);
  }

  /** Impersonation allowed, and its turn come: as whom it acts decides when. */
  async #admit(attributes: Attributes, request: Passing): Promise<(() => void) | undefined> {
    for (const need of request.caller?.needs ?? []) await this.check(need, request.auditAnnotations);
    return this.#flow?.begin(attributes, request);
  }

  #begin(attributes: Attributes, request: Partial<ApiRequest> & { user: User }): AuditedRequest | undefined {
    if (this.#audit === undefined) return undefined;
    const { user, caller, userAgent, body } = request;
    request.auditAnnotations ??= new Map();
    return this.#audit.begin({
      attributes: { ...attributes, user: caller?.user ?? user },
      impersonated: caller?.needs.length ? user : undefined,
      caller,
      userAgent,
      body,
      annotations: request.auditAnnotations,
    });
  }
}

type Passing = Pick<ApiRequest, "caller" | "auditAnnotations" | "classified" | "signal">;

type Agent = Pick<ApiRequest, "userAgent">;
type Asked = { method: string; path: string } | Pick<ApiRequest, "verb" | "target" | "options">;

function attributesOf(user: User, what: Asked): Attributes {
  if ("path" in what)
    return { user, verb: what.method === "HEAD" ? "get" : what.method.toLowerCase(), path: what.path };
  const { verb, target, options } = what;
  const { fieldSelector, labelSelector } = options;
  const name = target.name || (verb === "list" || verb === "watch" ? selectedName(fieldSelector) : "");
  return { user, verb, target: { ...target, name }, fieldSelector, labelSelector };
}

const policyMs = 10_000;

/** Upstream's default of --authorization-always-allow-paths. */
export const isAlwaysAllowed = (path: string): boolean => /^\/(healthz|livez|readyz)$/.test(path);
