import { forbidden, type Problems, required, shaped, tooLong } from "../../apimachinery/field-error.ts";
import { dns1123Subdomain } from "../../apimachinery/names.ts";
import { VolumeAttachments } from "../generated/resources.ts";
import type { VolumeAttachment } from "../generated/storage-v1.ts";
import { boolean, clusterWide, column, defineResource, immutableField, rules, shown } from "../kind.ts";
import { statusOnly, without } from "../strategy.ts";
import { validateDriverName } from "./csi.ts";

/** Of MutableCSINodeAllocatableCount. */
const errorCodes = ["status.attachError.errorCode", "status.detachError.errorCode"];

const notAttached = statusOnly<VolumeAttachment>(() => ({ attached: false }));

const attachmentRules = rules<VolumeAttachment>(clusterWide, validateSpec, ({ spec }, old) =>
  immutableField("spec", spec, old.spec),
);

export const volumeAttachments = defineResource(VolumeAttachments, {
  unconditionalUpdate: false,
  subresources: ["status"],
  ...without(errorCodes, notAttached),
  ...attachmentRules,
  *validate(attachment) {
    yield* attachmentRules.validate(attachment);
    yield* validateNew(attachment);
  },
  validateStatusUpdate: attachmentRules.validateUpdate,
  columns: shown(
    column("Attacher", ({ spec }) => spec.attacher ?? "", "The driver that attaches.", { format: "name" }),
    column("PV", ({ spec }) => spec.source?.persistentVolumeName ?? "", "The volume."),
    column("Node", ({ spec }) => spec.nodeName ?? "", "Where to."),
    column("Attached", ({ status }) => status?.attached ?? false, "Whether it is.", boolean),
  ),
});

function* validateSpec({ spec, status }: VolumeAttachment): Problems {
  if (!spec.attacher) yield required("spec.attacher");
  const { persistentVolumeName: name, inlineVolumeSpec } = spec.source ?? {};
  const choice = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
  if (name === undefined && !inlineVolumeSpec) yield required("spec.source", choice);
  else if (name !== undefined && inlineVolumeSpec) yield forbidden("spec.source", choice);
  else if (name === "")
    yield required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName");
  yield* shaped("spec.nodeName", spec.nodeName ?? "", dns1123Subdomain);
  const metadata = Object.entries(status?.attachmentMetadata ?? {}).flat();
  if (metadata.reduce((sum, text) => sum + Buffer.byteLength(text), 0) > maxMetadataBytes)
    yield tooLong("status.attachmentMetadata", maxMetadataBytes);
  for (const key of ["attachError", "detachError"] as const)
    if (Buffer.byteLength(status?.[key]?.message ?? "") > maxMessageBytes)
      yield tooLong(`status.${key}.message`, maxMetadataBytes); // upstream's number
}

const maxMetadataBytes = 256 * 1024;
const maxMessageBytes = 1024;

/** What v1 asks for besides. */
function* validateNew({ spec }: VolumeAttachment): Problems {
  yield* validateDriverName(spec.attacher, "spec.attacher");
  const name = spec.source?.persistentVolumeName;
  if (name !== undefined) yield* shaped("spec.source.persistentVolumeName", name, dns1123Subdomain);
}
