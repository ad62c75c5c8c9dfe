import { ageColumn, column, integer, nameColumn } from "../columns.ts";
import type { ServiceAccount } from "../generated/core-v1.ts";
import { ServiceAccounts } from "../generated/resources.ts";
import { validateObjectMeta, validateObjectMetaUpdate } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";

export const serviceAccounts: Resource<ServiceAccount> = defineResource(ServiceAccounts, {
  shortNames: ["sa"],
  subresources: [
    { name: "token", kind: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" }, verbs: ["create"] },
  ],
  defaults: () => {},
  validate: ({ metadata }) => validateObjectMeta(metadata, { namespaced: true }),
  validateUpdate: (account, old) => validateObjectMetaUpdate(account.metadata, old.metadata),
  columns: [
    nameColumn,
    column("Secrets", ({ secrets }) => secrets?.length ?? 0, "How many it names.", integer),
    ageColumn,
  ],
});
