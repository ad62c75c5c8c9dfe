import { environment, variablesOf } from "../../api/admissionregistration/expressions.ts";
import { validatingAdmissionPolicies } from "../../api/admissionregistration/validating-admission-policy.ts";
import type { ExpressionWarning, ValidatingAdmissionPolicy } from "../../api/generated/admissionregistration-v1.ts";
import { ValidatingAdmissionPolicies } from "../../api/generated/resources.ts";
import type { Resource } from "../../api/resource.ts";
import { schema } from "../../api/schema.ts";
import {
  authorizerType,
  dyn,
  objectType,
  type Type,
  typeOfMessage,
  typeOfSchema,
} from "../../apimachinery/cel/types.ts";
import { apiVersionOf } from "../../apimachinery/object.ts";
import type { Logger } from "../../base/logger.ts";
import { prefixOfResource } from "../registry/context.ts";
import { onChange } from "../registry/on-change.ts";
import type { Registry } from "../registry/registry.ts";
import { systemChange } from "../registry/system-objects.ts";
import type { Cluster } from "./cluster.ts";

/**
 * `status.typeChecking` of policies: what their expressions ask of the kinds that they name, and these do not have. Sources:
 * pkg/controller/validatingadmissionpolicystatus, k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go.
 * Differs: every apiserver does this, not the controller manager; params of a kind that nobody serves may be anything.
 */
export function checkPolicies(registry: Registry, cluster: Cluster, log: Logger, signal: AbortSignal): Promise<void> {
  const resource = validatingAdmissionPolicies as unknown as Resource;
  const followed = { prefixes: [prefixOfResource(resource)], log, what: "ValidatingAdmissionPolicies" };
  const isNew = ({ metadata, status }: ValidatingAdmissionPolicy) =>
    metadata.generation! > (status?.observedGeneration ?? 0);
  const sync = async () => {
    for (const policy of cluster.list(ValidatingAdmissionPolicies).filter(isNew)) {
      const { name, uid, generation } = policy.metadata;
      const expressionWarnings: ExpressionWarning[] = [];
      let room = maxWarnings;
      for (const [found] of typeWarnings(policy, cluster)) {
        if (found && room >= found.warning.length) {
          room -= found.warning.length;
          expressionWarnings.push(found);
        }
        await new Promise((resolve) => setImmediate(resolve)); // others, too, want to be served
      }
      const typeChecking = expressionWarnings.length > 0 ? { expressionWarnings } : {};
      const target = { ...resource, namespace: "", name, subresource: "status" };
      await systemChange<ValidatingAdmissionPolicy>(registry, resource, target, uid, (object) => {
        if (object.metadata.generation === generation && isNew(object))
          object.status = { ...object.status, observedGeneration: generation!, typeChecking };
      });
    }
    return undefined;
  };
  return onChange(registry.context, followed, sync, signal);
}

/** One yield an expression: none, or what is wrong with it. */
export function* typeWarnings({ spec }: ValidatingAdmissionPolicy, cluster: Cluster): Generator<ExpressionWarning[]> {
  const { paramKind, validations = [], variables = [] } = spec;
  const [version, group = ""] = (paramKind?.apiVersion ?? "").split("/").reverse();
  const params = paramKind && cluster.resource({ group, version: version!, kind: paramKind.kind });
  const names = variablesOf(spec);
  const checker = (expression: string) => environment.checker(expression, names);
  const kinds = kindsOf(spec.matchConstraints?.resourceRules ?? [], cluster);
  const made = variables.map(({ name, expression }) => [name, checker(expression)] as const);
  const given = kinds.map((kind) => {
    const object = typeOf(kind);
    const known = new Map<string, () => Type>();
    const types = {
      ...{ object, oldObject: object, request, namespaceObject, authorizer: authorizerType },
      ...{ params: params ? typeOf(params) : dyn, variables: objectType(variablesType, known) },
    };
    for (const [name, check] of made) {
      const type = check({ ...types, variables: objectType(variablesType, new Map(known)) }).type ?? dyn;
      known.set(name, () => type);
    }
    types.variables = objectType(variablesType, known);
    return { title: `${kind.group}/${kind.version}, Kind=${kind.kind}`, types };
  });
  for (const [i, { expression, messageExpression = "" }] of validations.entries())
    for (const [key, text] of Object.entries({ expression, messageExpression })) {
      if (text === "") continue;
      const check = checker(text);
      const warnings = given.flatMap(({ title, types }) => {
        const { text: wrong } = check(types);
        return wrong ? [`${title}: ${wrong}\n`] : [];
      });
      yield warnings.length > 0 ? [{ fieldRef: `spec.validations[${i}].${key}`, warning: warnings.join("\n") }] : [];
    }
}

/** The kinds that rules without wildcards name, of each rule at most ten. */
function kindsOf(rules: readonly Rule[], cluster: Cluster): Resource[] {
  const found = new Set<Resource>();
  for (const { apiGroups = [], apiVersions = [], resources = [] } of rules) {
    if ([...apiGroups, ...apiVersions].some((text) => text.includes("*"))) continue;
    let count = 0;
    for (const group of apiGroups.toSorted())
      for (const version of apiVersions.toSorted())
        for (const resource of resources.filter((text) => !/[*/]/.test(text)).sort()) {
          const row = count < maxKinds ? cluster.resource({ group, version, resource }) : undefined;
          if (row === undefined) continue;
          found.add(row);
          count++;
        }
    if (count === maxKinds) break; // upstream looks at no further rules then
  }
  const order = ({ group, version, kind }: Resource) => `${group}\0${version}\0${kind}`;
  return [...found].sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

type Rule = { apiGroups?: string[]; apiVersions?: string[]; resources?: string[] };
const maxKinds = 10;
/** Characters: a policy has to stay one that the store takes. */
const maxWarnings = 256 * 1024;

function typeOf({ custom, group, version, kind }: Resource): Type {
  if (custom) return custom.schema ? typeOfSchema(custom.schema, objectMeta, kind) : dyn;
  const message = schema.kind(apiVersionOf({ group, version }), kind);
  return message ? typeOfMessage(schema, message) : dyn;
}

const objectMeta = typeOfMessage(schema, schema.message("meta/v1.ObjectMeta"));
const namespaceObject = typeOfMessage(schema, schema.message("core/v1.Namespace"));
const request = typeOfMessage(schema, schema.message("admission/v1.AdmissionRequest"), "kubernetes.AdmissionRequest");
const variablesType = "kubernetes.variables";
