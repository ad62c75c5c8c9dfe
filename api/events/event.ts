import { invalid, type Problems, required, shaped } from "../../apimachinery/field-error.ts";
import { dns1123Subdomain } from "../../apimachinery/names.ts";
import { events } from "../core/event.ts";
import { defineFace } from "../face.ts";
import type { Event as CoreEvent } from "../generated/core-v1.ts";
import type { Event } from "../generated/events-v1.ts";
import { EventsV1Events } from "../generated/resources.ts";
import { immutableField, type Resource } from "../kind.ts";

/** Names in events.k8s.io/v1 -> in v1, in which they are stored; all others are the same. */
const names = {
  regarding: "involvedObject",
  note: "message",
  reportingController: "reportingComponent",
  deprecatedSource: "source",
  deprecatedFirstTimestamp: "firstTimestamp",
  deprecatedLastTimestamp: "lastTimestamp",
  deprecatedCount: "count",
} as const;

const toCore = new Map<string, string>(Object.entries(names));
const fromCore = new Map<string, string>(Object.entries(names).map(([ours, core]) => [core, ours]));
const renamed = (object: object, by: Map<string, string>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [by.get(key) ?? key, value]));

const about = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"];

export const eventsV1Events: Resource<Event> = defineFace(EventsV1Events, {
  stored: events,
  toStored: (event) => ({ involvedObject: {}, ...renamed(event, toCore), apiVersion: "v1" }) as unknown as CoreEvent,
  fromStored: (event) => ({ ...renamed(event, fromCore), apiVersion: "events.k8s.io/v1" }) as unknown as Event,
  fieldNames: {
    ...Object.fromEntries(about.map((key) => [`regarding.${key}`, `involvedObject.${key}`])),
    reason: "reason",
    reportingController: "reportingComponent",
    source: "source",
    type: "type",
  },
  validateMore: (event, old) => (old === undefined ? validateNew(event) : validateChange(event, old)),
});

const unset = ["firstTimestamp", "lastTimestamp", "count", "source"] as const;

function* validateNew(event: CoreEvent): Problems {
  yield* shaped("metadata.name", event.metadata.name, dns1123Subdomain);
  yield* validateSeries(event);
  if (!event.eventTime) yield required("eventTime");
  if (event.type !== "Normal" && event.type !== "Warning")
    yield invalid("type", "", `has invalid value: ${event.type ?? ""}`);
  for (const key of unset) {
    const value = event[key];
    const isSet = typeof value === "object" ? Object.keys(value).length > 0 : Boolean(value);
    if (isSet) yield invalid(key, "", "needs to be unset");
  }
}

const fixed = [
  ...(["involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "type"] as const),
  ...(["eventTime", "action", "related"] as const),
];

function* validateChange(event: CoreEvent, old: CoreEvent): Problems {
  const changed = JSON.stringify(event.series) !== JSON.stringify(old.series);
  if (changed) yield* validateSeries(event);
  yield* fixed.flatMap((key) => immutableField(key, event[key], old[key]));
  yield* immutableField("reportingController", event.reportingComponent, old.reportingComponent);
  yield* immutableField("reportingInstance", event.reportingInstance, old.reportingInstance);
}

function* validateSeries({ series }: CoreEvent): Problems {
  if (series === undefined) return;
  if (series.count < 2) yield invalid("series.count", "", "should be at least 2");
  if (!series.lastObservedTime) yield required("series.lastObservedTime");
}
