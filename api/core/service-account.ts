import { ServiceAccounts } from "../generated/resources.ts";
import { column, defineResource, namespaced, rules, shown } from "../kind.ts";

export const serviceAccounts = defineResource(ServiceAccounts, {
  shortNames: ["sa"],
  subresources: [
    { name: "token", kind: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" }, verbs: ["create"] },
  ],
  ...rules(namespaced),
  columns: shown(column("Secrets", ({ secrets }) => secrets?.length ?? 0, "How many it names.")),
});
