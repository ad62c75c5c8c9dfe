import { sameJson } from "../../apimachinery/same-json.ts";
import type * as v1 from "../generated/apiextensions-v1.ts";
import { CustomResourceDefinitions } from "../generated/resources.ts";
import { createdColumn, defineResource, nameColumn, validateObjectMeta, validateObjectMetaUpdate } from "../kind.ts";
import { keepAllButStatus, keepStatus } from "../strategy.ts";
import { definitionName, validateDefinition, validateDefinitionUpdate, validateNames } from "./validation.ts";

/** What apiserver/crd serves custom resources from; it writes the status, too. */
export const customResourceDefinitions = defineResource(CustomResourceDefinitions, {
  shortNames: ["crd", "crds"],
  categories: ["api-extensions"],
  unconditionalUpdate: false,
  storagePrefix: "apiextensions.k8s.io/customresourcedefinitions",
  subresources: ["status"],
  defaults({ spec }) {
    const { names } = spec;
    spec.versions ??= [];
    if (names?.kind) {
      names.singular ||= names.kind.toLowerCase();
      names.listKind ||= `${names.kind}List`;
    }
    spec.conversion ??= { strategy: "None" };
    const service = spec.conversion.webhook?.clientConfig?.service;
    if (service) service.port ??= 443;
  },
  prepareForCreate(definition) {
    definition.metadata.generation = 1;
    definition.status = { acceptedNames: { plural: "", kind: "" }, storedVersions: [] };
    addStorageVersion(definition);
  },
  prepareForUpdate(definition, old) {
    keepStatus(definition, old);
    const generation = old.metadata.generation ?? 0;
    definition.metadata.generation = sameJson(definition.spec, old.spec) ? generation : generation + 1;
    addStorageVersion(definition);
  },
  prepareForStatusUpdate: keepAllButStatus,
  prepareForDelete(definition, now) {
    const { metadata } = definition;
    if (!metadata.finalizers?.includes(cleanupFinalizer))
      metadata.finalizers = [...(metadata.finalizers ?? []), cleanupFinalizer];
    setCondition(definition, { ...deletionPending, lastTransitionTime: now });
  },
  validate: (definition) => [
    ...validateObjectMeta(definition.metadata, { namespaced: false, name: definitionName(definition) }),
    ...validateDefinition(definition, undefined),
  ],
  validateUpdate: (definition, old) => [
    ...validateObjectMetaUpdate(definition.metadata, old.metadata),
    ...validateDefinition(definition, old),
    ...validateDefinitionUpdate(definition, old),
  ],
  validateStatusUpdate: ({ metadata, status }, old) => [
    ...validateObjectMetaUpdate(metadata, old.metadata),
    ...validateNames(status?.acceptedNames ?? {}, "status.acceptedNames"),
  ],
  columns: [nameColumn, createdColumn],
});

export const cleanupFinalizer = "customresourcecleanup.apiextensions.k8s.io";

const deletionPending = {
  type: "Terminating",
  status: "True",
  reason: "InstanceDeletionPending",
  message: "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
} as const;

export const storageVersion = ({ spec }: v1.CustomResourceDefinition): v1.CustomResourceDefinitionVersion | undefined =>
  spec.versions.find(({ storage }) => storage);

function addStorageVersion(definition: v1.CustomResourceDefinition): void {
  const name = storageVersion(definition)?.name;
  const stored = definition.status?.storedVersions ?? [];
  if (name && !stored.includes(name)) definition.status = { ...definition.status, storedVersions: [...stored, name] };
}

export const hasCondition = (definition: v1.CustomResourceDefinition, type: string, status = "True"): boolean =>
  definition.status?.conditions?.some((condition) => condition.type === type && condition.status === status) ?? false;

type Condition = v1.CustomResourceDefinitionCondition;

/** The time stays while the status does. */
export function setCondition(definition: v1.CustomResourceDefinition, wanted: Condition): void {
  const conditions = definition.status?.conditions ?? [];
  const old = conditions.find(({ type }) => type === wanted.type);
  const next = old?.status === wanted.status ? { ...wanted, lastTransitionTime: old.lastTransitionTime } : wanted;
  const list = old ? conditions.map((one) => (one === old ? next : one)) : [...conditions, next];
  definition.status = { ...definition.status, conditions: list as Condition[] };
}
