import type { ServiceAccount } from "../generated/core-v1.ts";
import { ServiceAccounts } from "../generated/resources.ts";
import { column, defineResource, namespaced, rules, shown } from "../kind.ts";

/** Of secrets it has their names alone. */
function namesOnly(account: ServiceAccount): void {
  if (account.secrets) account.secrets = account.secrets.map(({ name }) => (name ? { name } : {}));
}

export const serviceAccounts = defineResource(ServiceAccounts, {
  shortNames: ["sa"],
  subresources: [
    { name: "token", kind: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" }, verbs: ["create"] },
  ],
  prepareForCreate: namesOnly,
  prepareForUpdate: namesOnly,
  ...rules(namespaced),
  columns: shown(column("Secrets", ({ secrets }) => secrets?.length ?? 0, "How many it names.")),
});
