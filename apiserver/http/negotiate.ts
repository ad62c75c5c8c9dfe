import { protobufType } from "./protobuf.ts";

/**
 * Which form of the answer the client takes (Accept), first match in its order: JSON in one of four shapes, YAML, and
 * protobuf of objects and lists, but of custom resources.
 * Differs: metadata alone is not served as protobuf; who asks for that takes JSON as well.
 */
export type Form =
  | { as: "Object"; in?: "yaml" | "protobuf" }
  | { as: "Table" }
  | { as: "PartialObjectMetadata" }
  | { as: "PartialObjectMetadataList" }
  | { as: "APIGroupDiscoveryList" };

/** Undefined: nothing on the list can be served (406). */
export function negotiate(accept: string | undefined, hasProtobuf = () => false): Form | undefined {
  if (accept === undefined || accept.trim() === "") return { as: "Object" };
  for (const { type, parameters } of parseMediaTypes(accept)) {
    const as = parameters.get("as");
    if (type === "application/yaml" && as === undefined) return { as: "Object", in: "yaml" };
    if (type === protobufType && as === undefined && hasProtobuf()) return { as: "Object", in: "protobuf" };
    if (!jsonTypes.has(type)) continue;
    if (as === undefined) return { as: "Object" };
    const known = shapes[`${as};${parameters.get("g")};${parameters.get("v")}`];
    if (known !== undefined) return known;
  }
  return undefined;
}

const shapes: Record<string, Form> = {
  "Table;meta.k8s.io;v1": { as: "Table" },
  "PartialObjectMetadata;meta.k8s.io;v1": { as: "PartialObjectMetadata" },
  "PartialObjectMetadataList;meta.k8s.io;v1": { as: "PartialObjectMetadataList" },
  "APIGroupDiscoveryList;apidiscovery.k8s.io;v2": { as: "APIGroupDiscoveryList" },
};

export const jsonTypes = new Set(["application/json", "application/*", "*/*"]);

export interface MediaType {
  type: string;
  parameters: Map<string, string>;
}

export function parseMediaTypes(header: string): MediaType[] {
  return header
    .split(",")
    .slice(0, 32)
    .map((entry) => {
      const [type, ...rest] = entry.split(";");
      const parameters = new Map<string, string>();
      for (const part of rest) {
        const at = part.indexOf("=");
        if (at > 0) parameters.set(part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim());
      }
      return { type: type!.trim().toLowerCase(), parameters };
    });
}
