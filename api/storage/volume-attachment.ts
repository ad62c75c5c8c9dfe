import { type FieldError, invalidValue, required } from "../../apimachinery/field-error.ts";
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

function validateSpec({ spec }: VolumeAttachment): FieldError[] {
  const errors: FieldError[] = [];
  if (!spec.attacher) errors.push(required("spec.attacher"));
  if (!spec.nodeName) errors.push(required("spec.nodeName"));
  else for (const p of dns1123Subdomain(spec.nodeName)) errors.push(invalidValue("spec.nodeName", spec.nodeName, p));
  const { persistentVolumeName: name, inlineVolumeSpec } = spec.source ?? {};
  if (!name && !inlineVolumeSpec)
    errors.push(required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName"));
  if (name !== undefined && inlineVolumeSpec)
    errors.push(
      invalidValue("spec.source", spec.source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
    );
  return errors;
}
