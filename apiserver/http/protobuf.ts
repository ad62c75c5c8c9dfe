import { LRUCache } from "lru-cache";
import type { Resource } from "../../api/resource.ts";
import { schema } from "../../api/schema.ts";
import { apiVersionOf, type KubernetesObject } from "../../apimachinery/object.ts";
import type { JsonObject } from "../../apimachinery/schema/normalize.ts";
import { type Envelope, encodeEnvelope, encodeMessage } from "../../apimachinery/schema/protobuf.ts";
import { memo } from "../../base/memo.ts";
import { Writer } from "../../proto/wire.ts";
import type { List, Sendable } from "../answer.ts";
import type { Frame } from "../watchcache/resource-cache.ts";

/** Answers in Kubernetes' protobuf, for who asks for it. Messages of objects are kept, since many ask for the same. */
export const protobufType = "application/vnd.kubernetes.protobuf";

const kept = new LRUCache<Sendable, Envelope>({
  maxSize: 64 * 1024 * 1024,
  sizeCalculation: ({ raw }, { bytes }) => raw.length + bytes.length + 200,
});

function messageOf(object: KubernetesObject): Envelope {
  const { apiVersion = "", kind = "" } = object;
  return { apiVersion, kind, raw: encodeMessage(schema, schema.kind(apiVersion, kind)!, object as never) };
}

const keptOf = (object: Sendable): Envelope => memo(kept, object, () => messageOf(object.parse()));

export const protobufObject = (object: Sendable): Buffer => encodeEnvelope(keptOf(object));

/** `{ metadata = 1, items = 2 }`, as all lists have it. */
export function protobufList(resource: Resource, { items, ...metadata }: List): Buffer {
  const messages = items.map((item) => keptOf(item).raw);
  const meta = encodeMessage(schema, schema.message("meta/v1.ListMeta"), metadata as unknown as JsonObject);
  const writer = Writer.create().uint32(0x0a).bytes(meta);
  for (const message of messages) writer.uint32(0x12).bytes(message);
  return encodeEnvelope({ apiVersion: apiVersionOf(resource), kind: resource.listKind, raw: writer.finish() });
}

/** A frame of a watch: its length, big-endian, and WatchEvent `{ type = 1, object = 2 { raw = 1 } }`. */
export function protobufEvent({ type, object }: Frame): Buffer {
  const isMade = type === "BOOKMARK" || type === "ERROR"; // for this watch alone
  const raw = encodeEnvelope(isMade ? messageOf(JSON.parse(object.bytes.toString())) : keptOf(object as Sendable));
  const event = Writer.create().uint32(0x0a).string(type).uint32(0x12).fork().uint32(0x0a).bytes(raw).ldelim().finish();
  const length = Buffer.alloc(4);
  length.writeUInt32BE(event.length);
  return Buffer.concat([length, event]);
}
