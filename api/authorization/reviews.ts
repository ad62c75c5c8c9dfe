import type { KubernetesObject, ResourceType } from "../../apimachinery/object.ts";
import * as kinds from "../generated/resources.ts";
import { createdColumn, defineResource, nameColumn, type Resource } from "../kind.ts";

/** Questions that a POST answers; nothing is stored. What they may hold is checked by who answers. */
const review = <T extends KubernetesObject>(type: ResourceType<T>): Resource<T> =>
  defineResource(type, {
    verbs: ["create"],
    virtual: true,
    validate: () => [],
    validateUpdate: () => [],
    columns: [nameColumn, createdColumn],
  });

export const authenticationReviews = [review(kinds.SelfSubjectReviews), review(kinds.TokenReviews)];
export const authorizationReviews = [
  ...[review(kinds.LocalSubjectAccessReviews), review(kinds.SelfSubjectAccessReviews)],
  ...[review(kinds.SelfSubjectRulesReviews), review(kinds.SubjectAccessReviews)],
];
