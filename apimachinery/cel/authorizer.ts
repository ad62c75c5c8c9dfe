import type { CelInput, CelMap } from "@bufbuild/cel";
import { Environment } from "./environment.ts";
import type { Library } from "./overloads.ts";
import { tagged } from "./values.ts";

/**
 * The environment of match conditions and admission policies, with the variable `authorizer`:
 * `authorizer.group("apps").resource("deployments").namespace("a").check("create").allowed()`.
 */
export function admissionEnvironment(decide: Decide): Environment {
  const variables = ["object", "oldObject", "request", "params", "namespaceObject", "variables", "authorizer"];
  return new Environment(variables, library(decide));
}

/** `path` has what the expression named: `path`, or `group`, `resource`, `subresource`, `namespace`, `name`. */
type Decide = (path: CelMap, verb: string) => { type: string; reason: string };

export const authorizerOf = (path: Record<string, CelInput>, type = "Authorizer") =>
  tagged(type, new Map(Object.entries(path)));

function library(decide: Decide): Library {
  const step = (name: string) => (path: CelMap, value: string) => {
    if ((name === "path" || name === "resource") && value.trim() === "") throw new Error(`${name} must not be empty`);
    return new Map<string, unknown>([...(path as Iterable<[string, unknown]>), [name, value]]);
  };
  const check = (path: CelMap, verb: string) => {
    const { type, reason } = decide(path, verb);
    return { allowed: type === "Allow", reason };
  };
  const selectors = ["subresource", "namespace", "name", "fieldSelector", "labelSelector"];
  return {
    "(Authorizer) path(string) PathCheck": step("path"),
    "(Authorizer) group(string) GroupCheck": step("group"),
    "(Authorizer) serviceAccount(string, string) Authorizer": (path: CelMap, namespace: string, name: string) =>
      step("serviceAccount")(path, `${namespace}:${name}`),
    "(GroupCheck) resource(string) ResourceCheck": step("resource"),
    ...Object.fromEntries(selectors.map((name) => [`(ResourceCheck) ${name}(string) ResourceCheck`, step(name)])),
    "(PathCheck) check(string) Decision": check,
    "(ResourceCheck) check(string) Decision": check,
    "(Decision) allowed() bool": (decision: CelMap) => decision.get("allowed"),
    "(Decision) reason() string": (decision: CelMap) => decision.get("reason"),
    "(Decision) errored() bool": () => false,
    "(Decision) error() string": () => "",
  };
}
