import { invalidValue, type Problems, required, requiredName } from "../../apimachinery/field-error.ts";
import { dns1123Subdomain } from "../../apimachinery/names.ts";
import { ageColumn, boolean, column, nameColumn } from "../columns.ts";
import { VolumeAttachments } from "../generated/resources.ts";
import type { VolumeAttachment } from "../generated/storage-v1.ts";
import { clusterWide, immutableField, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { statusOnly } from "../strategy.ts";

export const volumeAttachments: Resource<VolumeAttachment> = defineResource(VolumeAttachments, {
  unconditionalUpdate: false,
  subresources: ["status"],
  defaults: () => {},
  ...statusOnly,
  prepareForCreate(attachment) {
    attachment.status = { attached: false };
  },
  ...rules(clusterWide, validateSpec, ({ spec }, old) => immutableField("spec", spec, old.spec)),
  columns: [
    nameColumn,
    column("Attacher", ({ spec }) => spec.attacher ?? "", "The driver that attaches."),
    column("PV", ({ spec }) => spec.source?.persistentVolumeName ?? "", "The volume."),
    column("Node", ({ spec }) => spec.nodeName ?? "", "Where to."),
    column("Attached", ({ status }) => status?.attached ?? false, "Whether it is.", boolean),
    ageColumn,
  ],
});

function* validateSpec({ spec }: VolumeAttachment): Problems {
  if (!spec.attacher) yield required("spec.attacher");
  yield* requiredName("spec.nodeName", spec.nodeName, dns1123Subdomain);
  const { persistentVolumeName: name, inlineVolumeSpec } = spec.source ?? {};
  if (!name && !inlineVolumeSpec)
    yield required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
  if (name !== undefined && inlineVolumeSpec)
    yield invalidValue(
      "spec.source",
      spec.source,
      "must specify exactly one of inlineVolumeSpec and persistentVolumeName",
    );
}
