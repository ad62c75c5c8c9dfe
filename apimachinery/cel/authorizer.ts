import { type CelFunc, type CelInput, type CelMap, CelScalar, celMethod, mapType } from "@bufbuild/cel";
import { Environment } from "./environment.ts";
import { tagged, untag } from "./values.ts";

/**
 * The environment of match conditions and admission policies, with the variable `authorizer`:
 * `authorizer.group("apps").resource("deployments").namespace("a").check("create").allowed()`.
 */
export function admissionEnvironment(decide: Decide): Environment {
  const variables = ["object", "oldObject", "request", "params", "namespaceObject", "variables", "authorizer"];
  return new Environment(variables, authorizerLibrary(decide));
}

/** `path` has what the expression named: `path`, or `group`, `resource`, `subresource`, `namespace`, `name`. */
type Decide = (path: CelMap, verb: string) => { type: string; reason: string };

export const authorizerOf = (path: Record<string, CelInput>) => tagged("authorizer", new Map(Object.entries(path)));

function authorizerLibrary(decide: Decide): CelFunc[] {
  const { BOOL, DYN, STRING } = CelScalar;
  const tag = mapType(STRING, DYN);
  const contentOf = (kind: string, value: unknown): CelMap => {
    const content = untag(kind, value) as CelMap | undefined;
    if (content === undefined) throw new Error("no such overload");
    return content;
  };
  const step = (name: string) =>
    celMethod(name, tag, [STRING], DYN, function (value) {
      return tagged("authorizer", new Map([...contentOf("authorizer", this), [name, value]]));
    });
  const result = (name: string, type: typeof BOOL | typeof STRING, read: (decision: CelMap) => CelInput) =>
    celMethod(name, tag, [], type, function () {
      return read(contentOf("decision", this)) as never;
    });
  return [
    ...["path", "group", "resource", "subresource", "namespace", "name", "fieldSelector", "labelSelector"].map(step),
    celMethod("serviceAccount", tag, [STRING, STRING], DYN, function (namespace, name) {
      return tagged(
        "authorizer",
        new Map([...contentOf("authorizer", this), ["serviceAccount", `${namespace}:${name}`]]),
      );
    }),
    celMethod("check", tag, [STRING], DYN, function (verb) {
      const { type, reason } = decide(contentOf("authorizer", this), verb);
      return tagged(
        "decision",
        new Map<string, CelInput>([
          ["allowed", type === "Allow"],
          ["reason", reason],
        ]),
      );
    }),
    result("allowed", BOOL, (decision) => decision.get("allowed") as boolean),
    result("reason", STRING, (decision) => decision.get("reason") as string),
    result("errored", BOOL, () => false),
    result("error", STRING, () => ""),
  ];
}
