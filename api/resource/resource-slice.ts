import { invalidValue, type Problems, required, requiredName } from "../../apimachinery/field-error.ts";
import { dns1123Subdomain } from "../../apimachinery/names.ts";
import { ageColumn, column, nameColumn } from "../columns.ts";
import type { ResourceSlice } from "../generated/resource-v1.ts";
import { ResourceSlices } from "../generated/resources.ts";
import { clusterWide, immutableField, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { generationOnly } from "../strategy.ts";

/** Devices that a driver offers, on one node or many. */
export const resourceSlices: Resource<ResourceSlice> = defineResource(ResourceSlices, {
  selectable: { "spec.nodeName": "", "spec.driver": "" },
  unknownField: (name) => `field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: ${name}`,
  ...generationOnly,
  ...rules(clusterWide, validate, ({ spec }, old) => [
    ...immutableField("spec.nodeName", spec.nodeName, old.spec.nodeName),
    ...immutableField("spec.driver", spec.driver, old.spec.driver),
    ...immutableField("spec.pool.name", spec.pool?.name, old.spec.pool?.name),
  ]),
  columns: [
    nameColumn,
    column("Node", ({ spec }) => spec.nodeName ?? "", "Where they are."),
    column("Driver", ({ spec }) => spec.driver, "Who offers them."),
    column("Pool", ({ spec }) => spec.pool?.name ?? "", "What they belong to."),
    ageColumn,
  ],
});

function* validate({ spec }: ResourceSlice): Problems {
  yield* requiredName("spec.driver", spec.driver, dns1123Subdomain);
  const { name, resourceSliceCount = 0, generation = 0 } = spec.pool ?? {};
  if (!name) yield required("spec.pool.name");
  if (resourceSliceCount <= 0)
    yield invalidValue("spec.pool.resourceSliceCount", resourceSliceCount, "must be greater than zero");
  if (generation < 0) yield invalidValue("spec.pool.generation", generation, "must be greater than or equal to zero");
  const where = (["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"] as const).filter(
    (key) => spec[key],
  );
  const choice = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
  if (where.length === 0) yield required("spec", choice);
  if (where.length > 1)
    yield invalidValue(
      "spec",
      `{${where.map((key) => `\`${key}\``).join(", ")}}`,
      `${choice}, but multiple fields are set`,
    );
}
