import type { FieldError, Problems } from "../../apimachinery/field-error.ts";
import * as field from "../../apimachinery/field-error.ts";
import { dns1123Subdomain } from "../../apimachinery/names.ts";
import type { ObjectMeta } from "../../apimachinery/object.ts";
import { parseQuantity, quantityToNumber } from "../../apimachinery/quantity.ts";

/** What volumes and claims share. */
const modes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const short: Record<string, string> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};

export function* validateAccessModes(given: readonly string[] | undefined, at: string, missing: string): Problems {
  if (!given?.length) return yield field.required(at, missing);
  yield* given.filter((mode) => !modes.includes(mode)).map((mode) => field.notSupported(at, mode, modes));
  if (given.includes("ReadWriteOncePod") && new Set(given.filter((mode) => modes.includes(mode))).size > 1)
    yield field.forbidden(at, "may not use ReadWriteOncePod with other access modes");
}

export function* validateVolumeMode(mode: string | undefined, at: string): Problems {
  if (!(mode === undefined || mode === "Block" || mode === "Filesystem"))
    yield field.notSupported(at, mode, ["Block", "Filesystem"]);
}

export const validateClassName = (name: string | undefined, at: string): FieldError[] =>
  name ? dns1123Subdomain(name).map((p) => field.invalid(at, name, p)) : [];

export const validatePositive = (quantity: string, at: string): FieldError[] =>
  parseQuantity(quantity).nano > 0n ? [] : [field.invalid(at, quantity, "must be greater than zero")];

export const validateNotNegative = (quantity: string, at: string): FieldError[] =>
  parseQuantity(quantity).nano >= 0n
    ? []
    : [field.invalid(at, quantityToNumber(quantity), "must be a valid resource quantity")];

/** `RWO,ROX`, in upstream's order. */
export const accessModesText = (given: readonly string[] = []): string =>
  Object.keys(short)
    .filter((mode) => given.includes(mode))
    .map((mode) => short[mode]!)
    .join(",");

export const classAnnotation = "volume.beta.kubernetes.io/storage-class";

/** The class of a volume or claim; an annotation before it was a field. */
export const classOf = ({ annotations }: ObjectMeta, spec: { storageClassName?: string } = {}): string =>
  annotations?.[classAnnotation] ?? spec.storageClassName ?? "";
