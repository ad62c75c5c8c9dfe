import type { CelInput, CelMap, CelValue } from "@bufbuild/cel";
import { admissionEnvironment, authorizerOf } from "../../apimachinery/cel/authorizer.ts";
import type { Budget, Environment, Program } from "../../apimachinery/cel/environment.ts";
import { jsonToCel } from "../../apimachinery/cel/values.ts";
import type { Attributes as Asked, Authorizer, Decision } from "../authz/authorizer.ts";
import type { User } from "../request.ts";

/**
 * Expressions of match conditions and policies: compiled once for as long as their object is in the cache, evaluated
 * with `authorizer`, which asks whether someone may do something.
 */
export class Expressions {
  readonly #authorizer: Authorizer;
  readonly #environment: Environment;
  readonly #programs = new WeakMap<object, Map<string, Program | Error>>();
  /** Of the evaluation that runs; evaluating is synchronous. */
  #scope: Scope | undefined;

  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
    this.#environment = admissionEnvironment((path, verb) => this.#decide(path, verb));
  }

  /** `owner` is the object that the expression stands in. Throws CompileError. */
  compile(owner: object, expression: string): Program {
    const programs = this.#programs.get(owner) ?? new Map<string, Program | Error>();
    this.#programs.set(owner, programs);
    let program = programs.get(expression);
    if (program === undefined) {
      try {
        program = this.#environment.compile(expression);
      } catch (error) {
        program = error as Error;
      }
      programs.set(expression, program);
    }
    if (program instanceof Error) throw program;
    return program;
  }

  /** For lazy variables, inside an evaluation. */
  evaluateNow(owner: object, expression: string, scope: Scope): CelValue {
    const outer = this.#scope;
    this.#scope = scope;
    try {
      return this.compile(owner, expression).evaluate(scope.variables, scope.budget);
    } finally {
      this.#scope = outer;
    }
  }

  /** Throws what went wrong. An authorizer that has to ask someone is waited for; then the expression starts again. */
  async evaluate(owner: object, expression: string, scope: Scope): Promise<CelValue> {
    for (;;) {
      const { left } = scope.budget;
      try {
        return this.evaluateNow(owner, expression, scope);
      } catch (error) {
        const pending = scope.pending.splice(0);
        if (pending.length === 0) throw error;
        scope.budget.left = left; // what is said again is not paid again
        for (const [key, decision] of pending) scope.decisions.set(key, await decision);
      }
    }
  }

  #decide(path: CelMap, verb: string): Decision {
    const scope = this.#scope!;
    const get = (key: string) => (path.get(key) as string | undefined) ?? "";
    const account = get("serviceAccount");
    const user = account ? serviceAccountUser(account) : scope.user;
    const [group, resource, subresource, namespace, name] = [
      "group",
      "resource",
      "subresource",
      "namespace",
      "name",
    ].map(get);
    const asked = path.has("path")
      ? { user, verb, path: get("path") }
      : { user, verb, target: { group, version: "*", resource, subresource, namespace, name } };
    const key = JSON.stringify(asked);
    const known = scope.decisions.get(key);
    if (known !== undefined) return known;
    const decision = this.#authorizer.authorize(asked as Asked);
    if (!(decision instanceof Promise)) return decision;
    scope.pending.push([key, decision]);
    throw new Error("the authorizer has not answered yet");
  }
}

/** What expressions of one request share. */
export interface Scope {
  user: User;
  variables: Record<string, CelInput>;
  budget: Budget;
  decisions: Map<string, Decision>;
  pending: [string, Promise<Decision>][];
}

/** `request` is an AdmissionRequest; the objects are as it shows them. */
export function scopeOf(user: User, budget: Budget, variables: Record<string, unknown>): Scope {
  const {
    resource: gvr,
    namespace = "",
    name = "",
    subResource = "",
  } = variables["request"] as {
    resource: { group: string; resource: string };
    namespace?: string;
    name?: string;
    subResource?: string;
  };
  const { group, resource } = gvr;
  const requestResource = authorizerOf({ group, resource, subresource: subResource, namespace, name }, "ResourceCheck");
  const converted = Object.entries(variables).map(([key, value]) => [key, jsonToCel(value)]);
  return {
    user,
    budget,
    decisions: new Map(),
    pending: [],
    variables: {
      ...Object.fromEntries(converted),
      authorizer: authorizerOf({}),
      "authorizer.requestResource": requestResource, // the longest name that is bound wins
    },
  };
}

function serviceAccountUser(account: string): User {
  const groups = ["system:serviceaccounts", `system:serviceaccounts:${account.split(":")[0]}`, "system:authenticated"];
  return { name: `system:serviceaccount:${account}`, groups };
}
