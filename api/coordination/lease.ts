import { invalid, type Problems } from "../../apimachinery/field-error.ts";
import type { Lease } from "../generated/coordination-v1.ts";
import { Leases } from "../generated/resources.ts";
import { column, defineResource, namespaced, rules, shown, without } from "../kind.ts";

export const leases = defineResource(Leases, {
  createOnUpdate: true,
  unconditionalUpdate: false,
  ...without(["spec.strategy", "spec.preferredHolder"]), // CoordinatedLeaderElection
  ...rules(namespaced, validateSpec),
  columns: shown(column("Holder", ({ spec }) => spec?.holderIdentity ?? "", "Who holds it.")),
});

function* validateSpec({ spec }: Lease): Problems {
  const { leaseDurationSeconds, leaseTransitions } = spec ?? {};
  if (leaseDurationSeconds !== undefined && leaseDurationSeconds <= 0)
    yield invalid("spec.leaseDurationSeconds", leaseDurationSeconds, "must be greater than 0");
  if (leaseTransitions !== undefined && leaseTransitions < 0)
    yield invalid("spec.leaseTransitions", leaseTransitions, "must be greater than or equal to 0");
}
