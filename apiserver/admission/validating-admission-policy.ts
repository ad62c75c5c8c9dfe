import type {
  ParamKind,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
} from "../../api/generated/admissionregistration-v1.ts";
import {
  Namespaces,
  ValidatingAdmissionPolicies,
  ValidatingAdmissionPolicyBindings,
} from "../../api/generated/resources.ts";
import { Budget } from "../../apimachinery/cel/environment.ts";
import { celToJson, lazyMap } from "../../apimachinery/cel/values.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { labelSelector, matches } from "../../apimachinery/selectors.ts";
import { forbidden } from "../../apimachinery/status.ts";
import { Counter, type Registry as Metrics } from "../../base/metrics.ts";
import { admissionRequest, shown } from "./admission-request.ts";
import type { Attributes, Plugin } from "./chain.ts";
import type { Cluster } from "./cluster.ts";
import { type Expressions, type Scope, scopeOf } from "./expressions.ts";
import { matchedVersion, matcherOf } from "./matching.ts";

/**
 * ValidatingAdmissionPolicy (KEP-3488): expressions that an object has to satisfy, bound to where they count and to the
 * parameters that they take. Their status is type-checking.ts.
 */
interface Problem {
  policy: string;
  binding: string;
  message: string;
  reason?: string | undefined;
  /** Of the validation; -1 when it did not come to that. */
  index: number;
  actions: readonly string[];
}

export function validatingAdmissionPolicy(expressions: Expressions, metrics: Metrics): Plugin {
  const checks = new Counter({
    name: "apiserver_validating_admission_policy_check_total",
    help: "Evaluations of policies by what came of them",
    labelNames: ["policy", "policy_binding", "enforcement_action"],
    registers: [metrics],
  });
  return {
    name: "ValidatingAdmissionPolicy",
    validate(attributes, cluster) {
      const policies = cluster.list(ValidatingAdmissionPolicies);
      if (policies.length > 0) return enforce(policies, attributes, cluster);
    },
  };

  async function enforce(
    policies: ValidatingAdmissionPolicy[],
    attributes: Attributes,
    cluster: Cluster,
  ): Promise<void> {
    const bindings = cluster.list(ValidatingAdmissionPolicyBindings);
    const problems: Problem[] = [];
    for (const policy of policies)
      for (const binding of bindings.filter(({ spec }) => spec.policyName === policy.metadata.name))
        problems.push(...(await new Check({ expressions, policy, binding, attributes, cluster }).run()));
    const audited: object[] = [];
    for (const { policy, binding, message, index, actions } of problems) {
      for (const action of actions)
        checks.inc({ policy, policy_binding: binding, enforcement_action: action.toLowerCase() });
      const warning = `Validation failed for ValidatingAdmissionPolicy '${policy}' with binding '${binding}': ${message}`;
      if (actions.includes("Warn") && !attributes.warnings.includes(warning)) attributes.warnings.push(warning);
      if (actions.includes("Audit"))
        audited.push({ message, policy, binding, expressionIndex: index, validationActions: actions });
    }
    if (audited.length > 0)
      attributes.auditAnnotations.set("validation.policy.admission.k8s.io/validation_failure", JSON.stringify(audited));
    const denied = problems.find(({ actions }) => actions.includes("Deny"));
    if (denied !== undefined) throw denial(attributes, denied);
  }
}

function denial({ resource, name }: Attributes, { policy, binding, message, reason = "Invalid" }: Problem) {
  const text = `ValidatingAdmissionPolicy '${policy}' with binding '${binding}' denied request: ${message}`;
  const error = forbidden(resource, name, text);
  error.status.reason = reason;
  error.status.code = codes[reason] ?? 422;
  error.status.details!.causes = [{ message: text }];
  return error;
}

const codes: Record<string, number> = { Forbidden: 403, Unauthorized: 401, RequestEntityTooLarge: 413 };

/** One policy under one binding, for one request. */
class Check {
  readonly #problems: Problem[] = [];

  declare readonly expressions: Expressions;
  declare readonly policy: ValidatingAdmissionPolicy;
  declare readonly binding: ValidatingAdmissionPolicyBinding;
  declare readonly attributes: Attributes;
  declare readonly cluster: Cluster;

  constructor(given: Pick<Check, "expressions" | "policy" | "binding" | "attributes" | "cluster">) {
    Object.assign(this, given);
  }

  async run(): Promise<Problem[]> {
    const { attributes, cluster, policy, binding } = this;
    const version = matchedVersion(matcherOf(policy.spec.matchConstraints), attributes, cluster);
    if (version === undefined) return [];
    const { matchResources } = binding.spec;
    if (matchResources) {
      const narrowed = matcherOf(matchResources);
      const everything = { apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"], operations: ["*"] };
      const rules = narrowed.rules.length > 0 ? narrowed.rules : [everything];
      if (matchedVersion({ ...narrowed, rules }, attributes, cluster) === undefined) return [];
    }
    const params = this.#params();
    if (params === undefined) return this.#problems;
    const { namespace, user } = attributes;
    const given = {
      object: await shown(attributes, version, attributes.object),
      oldObject: await shown(attributes, version, attributes.oldObject),
      request: admissionRequest(attributes, version),
      namespaceObject: (namespace && cluster.get(Namespaces, { name: namespace })) || null,
    };
    for (const one of params) await this.#validate(scopeOf(user, new Budget(), { ...given, params: one }));
    return this.#problems;
  }

  async #validate(scope: Scope): Promise<void> {
    const { matchConditions = [], validations = [], auditAnnotations = [], variables = [] } = this.policy.spec;
    scope.variables["variables"] = lazyMap(
      variables.map(({ name }) => name),
      (name) =>
        this.expressions.evaluateNow(this.policy, variables.find((one) => one.name === name)!.expression, scope),
    );
    for (const { expression } of matchConditions) {
      try {
        if ((await this.#evaluate(expression, scope)) === false) return;
      } catch (error) {
        return this.#failed(`expression '${expression}' resulted in error: ${(error as Error).message}`);
      }
    }
    for (const [index, { expression, message, messageExpression, reason }] of validations.entries()) {
      try {
        if ((await this.#evaluate(expression, scope)) === true) continue;
      } catch (error) {
        const ranOut = scope.budget.spent;
        this.#failed(
          ranOut
            ? "validation failed due to running out of cost budget, no further validation rules will be run"
            : `expression '${expression}' resulted in error: ${(error as Error).message}`,
          index,
        );
        if (ranOut) return;
        continue;
      }
      const text =
        (await this.#message(messageExpression, scope)) ?? message?.trim() ?? `failed expression: ${expression.trim()}`;
      this.#report(text, index, reason);
    }
    for (const { key, valueExpression } of auditAnnotations) {
      const value = await this.#evaluate(valueExpression, scope).catch(() => null);
      if (typeof value === "string") this.attributes.auditAnnotations.set(`${this.policy.metadata.name}/${key}`, value);
    }
  }

  #evaluate(expression: string, scope: Scope) {
    return this.expressions.evaluate(this.policy, expression, scope);
  }

  /** One line of text, else the fixed message stands. */
  async #message(expression: string | undefined, scope: Scope): Promise<string | undefined> {
    if (!expression) return undefined;
    const value = await this.#evaluate(expression, scope).then(celToJson, () => undefined);
    return typeof value === "string" && value.trim() !== "" && !value.includes("\n") ? value.trim() : undefined;
  }

  /** The parameters, one evaluation each; `[null]` for a policy without. Undefined when there is nothing to evaluate. */
  #params(): (KubernetesObject | null)[] | undefined {
    const { paramKind } = this.policy.spec;
    const { paramRef } = this.binding.spec;
    if (paramKind === undefined) return [null];
    if (paramRef === undefined) return [null];
    const resource = this.#paramResource(paramKind);
    if (resource === undefined) {
      this.#failed(
        `failed to find resource referenced by paramKind: '${paramKind.apiVersion}, Kind=${paramKind.kind}'`,
      );
      return undefined;
    }
    const namespace = resource.namespaced ? paramRef.namespace || this.attributes.namespace : undefined;
    if (namespace === "") {
      this.#failed("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources");
      return undefined;
    }
    const found = paramRef.name
      ? [this.cluster.get(resource, { namespace, name: paramRef.name })].filter((one) => one !== undefined)
      : this.cluster
          .list(resource, namespace)
          .filter(({ metadata }) => matches(labelSelector(paramRef.selector), metadata.labels));
    if (found.length === 0 && paramRef.parameterNotFoundAction !== "Allow")
      this.#failed("no params found for policy binding with `Deny` parameterNotFoundAction");
    return found.length > 0 ? found : undefined;
  }

  #paramResource({ apiVersion, kind }: ParamKind) {
    const [version, group = ""] = apiVersion.split("/").reverse();
    const found = this.cluster.resource({ group, version: version!, kind });
    return found?.face?.stored ?? found;
  }

  #failed(message: string, index = -1): void {
    if (this.policy.spec.failurePolicy !== "Ignore") this.#report(message, index);
  }

  #report(message: string, index: number, reason?: string): void {
    const { metadata, spec } = this.binding;
    const names = { policy: this.policy.metadata.name, binding: metadata.name };
    this.#problems.push({ ...names, message, reason, index, actions: spec.validationActions });
  }
}
