import type { Answer } from "./answer.ts";
import type { Audit, AuditedRequest } from "./audit/audit.ts";
import { type Attributes, type Authorizer, forbiddenRequest, isSuperuser } from "./authz/authorizer.ts";
import type { Registry } from "./registry/registry.ts";
import { selectedName } from "./registry/selection.ts";
import type { ApiRequest, User } from "./request.ts";
import { initializing } from "./storage/errors.ts";

/**
 * The way of a request behind both fronts, which have authenticated it: audit, impersonation, authorization, then the
 * registry (decoding, admission, the kind's strategy, storage).
 */
export class Chain {
  readonly authorizer: Authorizer;
  readonly #registry: Registry;
  readonly #audit: Audit | undefined;
  #policyWritten = false;
  readonly #waiting = new Set<() => void>();

  constructor(registry: Registry, authorizer: Authorizer, audit?: Audit) {
    this.#audit = audit;
    this.#registry = registry;
    this.authorizer = authorizer;
  }

  /** The default roles are there: until then only superusers are answered, and the others wait a little for it. */
  policyWritten(): void {
    this.#policyWritten = true;
    for (const done of this.#waiting) done();
  }

  async handle(request: ApiRequest): Promise<Answer> {
    const { user, verb, target, options } = request;
    const { fieldSelector, labelSelector } = options;
    const name = target.name || (verb === "list" || verb === "watch" ? selectedName(fieldSelector) : "");
    const attributes = { user, verb, target: { ...target, name }, fieldSelector, labelSelector };
    const audited = this.#begin(attributes, request);
    try {
      await this.#allow(attributes, request);
      request.check = (other) => this.check({ user, verb: other, target });
      const answer = await this.#registry.handle(request);
      audited?.answered(answer, request);
      return answer;
    } catch (error) {
      audited?.failed(error);
      throw error;
    }
  }

  /** For paths that are no resources: `serve` answers, and tells with which code. */
  async handlePath(
    request: Pick<ApiRequest, "user" | "caller" | "userAgent">,
    { method, path }: { method: string; path: string },
    serve: () => Promise<number>,
  ): Promise<void> {
    const attributes = { user: request.user, verb: method === "HEAD" ? "get" : method.toLowerCase(), path };
    const audited = this.#begin(attributes, request);
    try {
      if (!isAlwaysAllowed(path)) await this.#allow(attributes, request);
      const code = await serve();
      audited?.event("ResponseComplete", { code });
    } catch (error) {
      audited?.failed(error);
      throw error;
    }
  }

  /** Throws upstream's 403. */
  async check(attributes: Attributes, annotations?: Map<string, string>): Promise<void> {
    if (!this.#policyWritten && !isSuperuser(attributes.user)) await this.#policy();
    const decision = await this.authorizer.authorize(attributes);
    const allowed = decision.type === "Allow";
    annotations?.set("authorization.k8s.io/decision", allowed ? "allow" : "forbid");
    annotations?.set("authorization.k8s.io/reason", decision.reason);
    if (!allowed) throw forbiddenRequest(attributes, decision);
  }

  /** Throws 429 when it takes too long. */
  #policy(): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.#registry.context.clock.after(policyMs, () => {
        this.#waiting.delete(done);
        reject(initializing());
      });
      const done = () => {
        this.#waiting.delete(done);
        cancel();
        resolve();
      };
      this.#waiting.add(done);
    });
  }

  async #allow(attributes: Attributes, { caller, auditAnnotations }: Partial<ApiRequest>): Promise<void> {
    for (const need of caller?.needs ?? []) await this.check(need, auditAnnotations);
    await this.check(attributes, auditAnnotations);
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

const policyMs = 10_000;

/** Upstream's default of --authorization-always-allow-paths. */
export const isAlwaysAllowed = (path: string): boolean => /^\/(healthz|livez|readyz)$/.test(path);
