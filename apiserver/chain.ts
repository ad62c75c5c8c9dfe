import { forbidden } from "../apimachinery/status.ts";
import type { Answer } from "./answer.ts";
import { authorize } from "./authz/authorize.ts";
import type { PodsOf } from "./authz/node.ts";
import type { Registry } from "./registry/registry.ts";
import { selectedName } from "./registry/selection.ts";
import type { ApiRequest, User } from "./request.ts";

/**
 * The way of a request behind both fronts, which have authenticated it: authorization, then the registry (decoding,
 * admission, the kind's strategy, storage).
 */
export class Chain {
  readonly #registry: Registry;
  readonly #podsOf: PodsOf;

  constructor(registry: Registry) {
    this.#registry = registry;
    const { cache } = registry.context;
    this.#podsOf = function* (namespace, node) {
      for (const stored of cache.resource("/registry/pods/").under(`/registry/pods/${namespace}/`)) {
        const pod = stored.parse() as { spec?: { nodeName?: string } };
        if (pod.spec?.nodeName === node) yield pod;
      }
    };
  }

  async handle(request: ApiRequest): Promise<Answer> {
    const { user, verb, target, options } = request;
    const name = target.name || (verb === "list" || verb === "watch" ? selectedName(options.fieldSelector) : "");
    const denied = authorize(
      { user, verb, target: { ...target, name }, fieldSelector: options.fieldSelector },
      this.#podsOf,
    );
    if (denied !== undefined) throw forbidden(target, name, denied);
    request.denied = (other) => authorize({ user, verb: other, target }, this.#podsOf);
    return this.#registry.handle(request);
  }

  /** For paths that are no resources. */
  checkPath(user: User, method: string, path: string): void {
    const verb = method === "HEAD" ? "get" : method.toLowerCase();
    const denied = authorize({ user, verb, path });
    if (denied !== undefined) throw forbidden({ group: "", resource: "" }, "", denied);
  }
}
