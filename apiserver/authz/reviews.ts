import type {
  LocalSubjectAccessReview,
  SelfSubjectRulesReview,
  SubjectAccessReview,
  SubjectAccessReviewSpec,
} from "../../api/generated/authorization-v1.ts";
import * as field from "../../apimachinery/field-error.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { badRequest, invalid } from "../../apimachinery/status.ts";
import type { Maker } from "../registry/context.ts";
import type { User } from "../request.ts";
import type { Attributes, Authorizer } from "./authorizer.ts";

const group = "authorization.k8s.io";

/** The kinds of authorization.k8s.io: who may do what, asked by a client. */
export function authorizationMakers(authorizer: Authorizer & Required<Authorizer>): [string, Maker][] {
  const answer = async (kind: string, object: KubernetesObject, user: User, errors: field.FieldError[]) => {
    if (errors.length > 0) throw invalid({ group, kind }, "", errors);
    const review = object as SubjectAccessReview;
    const { type, reason } = await authorizer.authorize(attributesOf(review.spec, user));
    review.status = {
      allowed: type === "Allow",
      ...(type === "Deny" ? { denied: true } : {}),
      ...(reason ? { reason } : {}),
    };
    return review;
  };
  return [
    [
      `${group}/selfsubjectaccessreviews`,
      (object, { user }) =>
        answer("SelfSubjectAccessReview", object, user, validateSpec((object as SubjectAccessReview).spec)),
    ],
    [
      `${group}/subjectaccessreviews`,
      (object) => {
        const { spec } = object as SubjectAccessReview;
        return answer("SubjectAccessReview", object, subjectOf(spec), [
          ...validateSpec(spec),
          ...validateSubject(spec),
        ]);
      },
    ],
    [
      `${group}/localsubjectaccessreviews`,
      (object, { target }) => {
        const { spec } = object as LocalSubjectAccessReview;
        const { resourceAttributes: asked, nonResourceAttributes: path } = spec;
        if (asked && (asked.namespace ?? "") !== target.namespace)
          throw badRequest(`spec.resourceAttributes.namespace must match namespace: ${target.namespace}`);
        const local = path
          ? [field.invalid("spec.nonResourceAttributes", path, "disallowed on this kind of request")]
          : [];
        const errors = [...validateSpec(spec), ...validateSubject(spec), ...local];
        return answer("LocalSubjectAccessReview", object, subjectOf(spec), errors);
      },
    ],
    [
      `${group}/selfsubjectrulesreviews`,
      (object, { user }) => {
        const review = object as SelfSubjectRulesReview;
        const namespace = review.spec?.namespace ?? "";
        if (namespace === "") throw badRequest("no namespace on request");
        const { rules, incomplete, errors } = authorizer.rulesFor(user, namespace);
        review.status = {
          resourceRules: rules.filter((rule) => rule.resources?.length),
          nonResourceRules: rules.filter((rule) => rule.nonResourceURLs?.length),
          incomplete,
          ...(errors.length > 0 ? { evaluationError: errors.join(", ") } : {}),
        };
        return review;
      },
    ],
  ];
}

function attributesOf({ resourceAttributes: asked, nonResourceAttributes: path }: SubjectAccessReviewSpec, user: User) {
  if (asked === undefined) return { user, verb: path?.verb ?? "", path: path?.path ?? "" } satisfies Attributes;
  const { verb = "", namespace = "", version = "", resource = "", subresource = "", name = "" } = asked;
  const target = { group: asked.group ?? "", version, namespace, resource, subresource, name };
  const [fieldSelector, labelSelector] = [
    textOf(asked.fieldSelector, fieldText),
    textOf(asked.labelSelector, labelText),
  ];
  return { user, verb, target, fieldSelector, labelSelector } satisfies Attributes;
}

type Requirement = { key: string; operator: string; values?: string[] };
type Selected = { rawSelector?: string; requirements?: Requirement[] };
type Text = (requirement: Requirement) => string | undefined;

/** What no selector can say is left out: then more is asked for than is selected. */
const textOf = ({ rawSelector, requirements = [] }: Selected = {}, text: Text): string =>
  rawSelector || requirements.flatMap((one) => text(one) ?? []).join(",");
const fieldText: Text = ({ key, operator, values: [value, ...more] = [] }) => {
  const sign = { In: "=", NotIn: "!=" }[operator];
  return sign && value !== undefined && !more[0] ? `${key}${sign}${value.replace(/[\\,=]/g, "\\$&")}` : undefined;
};
const labelText: Text = ({ key, operator, values = [] }) =>
  ({ In: `${key} in (${values})`, NotIn: `${key} notin (${values})`, Exists: key, DoesNotExist: `!${key}` })[operator];

const subjectOf = ({ user = "", uid, groups = [], extra }: SubjectAccessReviewSpec): User => ({
  name: user,
  uid,
  groups,
  extra,
});

function validateSpec(spec: SubjectAccessReviewSpec = {}): field.FieldError[] {
  const { resourceAttributes, nonResourceAttributes } = spec;
  if (resourceAttributes && nonResourceAttributes)
    return [
      field.invalid(
        "spec.nonResourceAttributes",
        nonResourceAttributes,
        "cannot be specified in combination with resourceAttributes",
      ),
    ];
  if (resourceAttributes)
    return (["fieldSelector", "labelSelector"] as const).flatMap((key) => {
      const { rawSelector: raw, requirements: { length } = [] } = resourceAttributes[key] ?? { rawSelector: " " };
      const at = `spec.resourceAttributes.${key}`;
      const missing = `when ${at} is specified, requirements or rawSelector is required`;
      if (!raw) return length === 0 ? [field.required(`${at}.requirements`, missing)] : [];
      return length > 0
        ? [field.invalid(`${at}.rawSelector`, raw, "may not specified at the same time as requirements")]
        : [];
    });
  if (nonResourceAttributes) return [];
  const detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
  return [field.invalid("spec.resourceAttributes", undefined, detail)];
}

function validateSubject({ user = "", groups = [] }: SubjectAccessReviewSpec = {}): field.FieldError[] {
  return user === "" && groups.length === 0
    ? [field.invalid("spec.user", user, "at least one of user or group must be specified")]
    : [];
}
