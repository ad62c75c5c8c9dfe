import { forbiddenField, invalidValue, type Problems, required } from "../../apimachinery/field-error.ts";
import { ageColumn, column, nameColumn } from "../columns.ts";
import { oneOf } from "../core/container-validation.ts";
import type { LimitedPriorityLevelConfiguration, PriorityLevelConfiguration } from "../generated/flowcontrol-v1.ts";
import { PriorityLevelConfigurations } from "../generated/resources.ts";
import { notNegative } from "../int-or-percent.ts";
import { clusterWide, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { startingStatus } from "../strategy.ts";

const maxQueues = 10_000_000;

export const priorityLevelConfigurations: Resource<PriorityLevelConfiguration> = defineResource(
  PriorityLevelConfigurations,
  {
    subresources: ["status"],
    defaults({ spec: { limited, exempt } }) {
      if (limited) {
        limited.nominalConcurrencyShares ??= 30;
        limited.lendablePercent ??= 0;
        const queuing = limited.limitResponse?.queuing;
        if (queuing) {
          queuing.handSize ||= 8;
          queuing.queues ||= 64;
          queuing.queueLengthLimit ||= 50;
        }
      }
      if (exempt) {
        exempt.nominalConcurrencyShares ??= 0;
        exempt.lendablePercent ??= 0;
      }
    },
    ...startingStatus(() => ({})),
    ...rules(clusterWide, validateSpec),
    columns: [
      nameColumn,
      column("Type", ({ spec }) => spec.type ?? "", "Exempt or Limited."),
      column("NominalConcurrencyShares", (level) => shares(level), "Its part of the concurrency."),
      column("Queues", (level) => queuing(level, "queues"), "How many it has."),
      column("HandSize", (level) => queuing(level, "handSize"), "Queues that a flow is dealt."),
      column("QueueLengthLimit", (level) => queuing(level, "queueLengthLimit"), "Requests in one queue."),
      ageColumn,
    ],
  },
);

const shares = ({ spec }: PriorityLevelConfiguration) => spec.limited?.nominalConcurrencyShares ?? "<none>";

const queuing = ({ spec }: PriorityLevelConfiguration, key: "queues" | "handSize" | "queueLengthLimit") =>
  spec.limited?.limitResponse?.queuing?.[key] ?? "<none>";

function* validateSpec({ metadata, spec }: PriorityLevelConfiguration): Problems {
  const { type, limited, exempt } = spec;
  if (metadata.name === "exempt" && type !== "Exempt")
    return yield invalidValue("spec.type", type, "type must be 'Exempt' if and only if name is 'exempt'");
  yield* oneOf("spec.type", type, ["Exempt", "Limited"], false);
  if (type === "Exempt") {
    if (limited) yield forbiddenField("spec.limited", "must be nil if the type is not Limited");
    yield* notNegative(exempt?.nominalConcurrencyShares, "spec.exempt.nominalConcurrencyShares");
    yield* percent(exempt?.lendablePercent, "spec.exempt.lendablePercent");
  } else if (type === "Limited") {
    if (exempt) yield forbiddenField("spec.exempt", "must be nil if the type is Limited");
    if (!limited) yield required("spec.limited", "must not be empty when type is Limited");
    else yield* validateLimited(limited, "spec.limited");
  }
}

function* validateLimited(limited: LimitedPriorityLevelConfiguration, at: string): Problems {
  yield* notNegative(limited.nominalConcurrencyShares, `${at}.nominalConcurrencyShares`);
  yield* percent(limited.lendablePercent, `${at}.lendablePercent`);
  yield* notNegative(limited.borrowingLimitPercent, `${at}.borrowingLimitPercent`);
  const { type, queuing } = limited.limitResponse ?? {};
  const path = `${at}.limitResponse`;
  if (type === "Reject" && queuing)
    yield forbiddenField(`${path}.queuing`, "must be nil if limited.limitResponse.type is not Limited");
  yield* oneOf(`${path}.type`, type, ["Queue", "Reject"], false);
  if (type !== "Queue") return;
  if (!queuing) return yield required(`${path}.queuing`, "must not be empty if limited.limitResponse.type is Limited");
  const { queues = 0, handSize = 0, queueLengthLimit = 0 } = queuing;
  for (const [key, value] of Object.entries({ queueLengthLimit, queues, handSize }))
    if (value <= 0) yield invalidValue(`${path}.queuing.${key}`, value, "must be positive");
  if (queues > maxQueues) yield invalidValue(`${path}.queuing.queues`, queues, `must not be greater than ${maxQueues}`);
  if (handSize > queues)
    yield invalidValue(`${path}.queuing.handSize`, handSize, `should not be greater than queues (${queues})`);
}

function* percent(value = 0, at: string): Problems {
  if (value < 0 || value > 100) yield invalidValue(at, value, "must be between 0 and 100, inclusive");
}
