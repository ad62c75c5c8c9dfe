import { invalid, type Problems, required, shaped } from "../../apimachinery/field-error.ts";
import { pathSegmentName, qualifiedName } from "../../apimachinery/names.ts";
import { age, parseTime } from "../../apimachinery/time.ts";
import type { Event } from "../generated/core-v1.ts";
import { Events } from "../generated/resources.ts";
import { column, defineResource, nameColumn, rules, selection, wide } from "../kind.ts";

const about = "kind namespace name uid apiVersion resourceVersion fieldPath".split(" ");
const own = [...about.map((key) => `involvedObject.${key}`), "reason", "reportingComponent", "source", "type"];
const chosen = selection(Object.fromEntries(own.map((name) => [name, ""])), true);

export const events = defineResource(Events, {
  shortNames: ["ev"],
  createOnUpdate: true,
  ...chosen,
  fields: (event) => ({
    ...chosen.fields(event),
    source: event.source?.component || event.reportingComponent || "",
  }),
  defaults(event) {
    event.involvedObject ??= {};
  },
  // The newer version asks for a name that is a domain's, this one for one that fits into a path.
  ...rules({ namespaced: true, name: pathSegmentName }, validateEvent),
  columns: [
    column("Last Seen", lastSeen, "When it happened last."),
    column("Type", ({ type }) => type ?? "", "Normal or Warning."),
    column("Reason", ({ reason }) => reason ?? "", "Why, in one word."),
    column(
      "Object",
      ({ involvedObject: o }) => (o.kind ?? "").toLowerCase() + (o.name ? `/${o.name}` : ""),
      "Of what.",
    ),
    column("Subobject", ({ involvedObject }) => involvedObject.fieldPath ?? "", "Which part of it.", wide),
    column("Source", source, "Who tells.", wide),
    column("Message", ({ message }) => (message ?? "").trim(), "What happened."),
    column("First Seen", firstSeen, "When it happened first.", wide),
    column("Count", ({ series, count }) => series?.count ?? (count || 1), "How often.", wide),
    { ...nameColumn, ...wide },
  ],
});

function known(...times: (string | undefined)[]): string | undefined {
  return times.find((t) => !Number.isNaN(parseTime(t)));
}

function firstSeen(event: Event, now: number): string {
  return age(known(event.firstTimestamp, event.eventTime), now);
}

function lastSeen({ series, lastTimestamp, firstTimestamp, eventTime }: Event, now: number): string {
  return age(series?.lastObservedTime ?? known(lastTimestamp, firstTimestamp, eventTime), now);
}

function source({ source, reportingComponent, reportingInstance }: Event): string {
  const instance = source?.host || reportingInstance;
  return (source?.component || reportingComponent || "") + (instance ? `, ${instance}` : "");
}

const lengths = { reportingInstance: 128, action: 128, reason: 128 } as const;

/** An Event with an eventTime is of the newer kind, of which more is asked. */
function* validateEvent(event: Event): Problems {
  const { metadata, involvedObject, eventTime, reportingComponent = "", message = "" } = event;
  const namespace = involvedObject.namespace ?? "";
  const clusterWide = metadata.namespace === "default" || (eventTime && metadata.namespace === "kube-system");
  if (namespace ? !eventTime && namespace !== metadata.namespace : !clusterWide)
    yield invalid("involvedObject.namespace", namespace, "does not match event.namespace");
  if (!eventTime) return;
  if (!reportingComponent) yield required("reportingController");
  yield* shaped("reportingController", reportingComponent, qualifiedName);
  for (const [key, max] of Object.entries(lengths) as [keyof typeof lengths, number][]) {
    if (!event[key]) yield required(key);
    if (Buffer.byteLength(event[key] ?? "") > max) yield invalid(key, "", `can have at most ${max} characters`);
  }
  if (Buffer.byteLength(message) > 1024) yield invalid("message", "", "can have at most 1024 characters");
}
