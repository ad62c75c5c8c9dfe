import type { Answer } from "./answer.ts";
import { type Attributes, type Authorizer, forbiddenRequest, isSuperuser } from "./authz/authorizer.ts";
import type { Registry } from "./registry/registry.ts";
import { selectedName } from "./registry/selection.ts";
import type { ApiRequest, User } from "./request.ts";

/**
 * The way of a request behind both fronts, which have authenticated it: authorization, then the registry (decoding,
 * admission, the kind's strategy, storage).
 */
export class Chain {
  readonly authorizer: Authorizer;
  readonly #registry: Registry;
  #policyWritten: Promise<void> | undefined;
  #writePolicy: () => void = () => {};

  constructor(registry: Registry, authorizer: Authorizer) {
    this.#registry = registry;
    this.authorizer = authorizer;
    this.#policyWritten = new Promise((resolve) => (this.#writePolicy = resolve));
  }

  /** The default roles are there: until then only superusers are answered, and the others wait. */
  policyWritten(): void {
    this.#policyWritten = undefined;
    this.#writePolicy();
  }

  async handle(request: ApiRequest): Promise<Answer> {
    const { user, verb, target, options } = request;
    const { fieldSelector, labelSelector } = options;
    const name = target.name || (verb === "list" || verb === "watch" ? selectedName(fieldSelector) : "");
    await this.check({ user, verb, target: { ...target, name }, fieldSelector, labelSelector });
    request.check = (other) => this.check({ user, verb: other, target });
    return this.#registry.handle(request);
  }

  /** For paths that are no resources. */
  async checkPath(user: User, method: string, path: string): Promise<void> {
    if (isAlwaysAllowed(path)) return;
    const verb = method === "HEAD" ? "get" : method.toLowerCase();
    await this.check({ user, verb, path });
  }

  /** Throws upstream's 403. */
  async check(attributes: Attributes): Promise<void> {
    if (this.#policyWritten !== undefined && !isSuperuser(attributes.user)) await this.#policyWritten;
    const decision = await this.authorizer.authorize(attributes);
    if (decision.type !== "Allow") throw forbiddenRequest(attributes, decision);
  }
}

/** Upstream's default of --authorization-always-allow-paths. */
export const isAlwaysAllowed = (path: string): boolean => /^\/(healthz|livez|readyz)$/.test(path);
