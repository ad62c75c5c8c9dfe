import * as field from "../../apimachinery/field-error.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type * as v1 from "../generated/flowcontrol-v1.ts";
import { PriorityLevelConfigurations } from "../generated/resources.ts";
import { clusterWide, column, defineResource, rules, shown, specAndStatus } from "../kind.ts";
import { validateConditions } from "./conditions.ts";
import { mandatoryLevels } from "./mandatory.ts";

const maxQueues = 10_000_000;
/** What a hash of a flow has to deal a hand with. */
const maxHashBits = 60;

export const priorityLevelConfigurations = defineResource(PriorityLevelConfigurations, {
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
  ...specAndStatus,
  ...rules(clusterWide, validateLevel, undefined, validateConditions),
  columns: shown(
    column("Type", ({ spec }) => spec.type ?? "", "Exempt or Limited."),
    column("NominalConcurrencyShares", (level) => shares(level), "Its part of the concurrency."),
    column("Queues", (level) => queuing(level, "queues"), "How many it has."),
    column("HandSize", (level) => queuing(level, "handSize"), "Queues that a flow is dealt."),
    column("QueueLengthLimit", (level) => queuing(level, "queueLengthLimit"), "Requests in one queue."),
  ),
});

const shares = ({ spec }: v1.PriorityLevelConfiguration) => spec.limited?.nominalConcurrencyShares ?? "<none>";

const queuing = ({ spec }: v1.PriorityLevelConfiguration, key: "queues" | "handSize" | "queueLengthLimit") =>
  spec.limited?.limitResponse?.queuing?.[key] ?? "<none>";

function* validateLevel(level: v1.PriorityLevelConfiguration): field.Problems {
  const { name } = level.metadata;
  const { spec } = level;
  yield* validateSpec(name, spec);
  const fixed = mandatoryLevels[name];
  const wrong = (but: string) => field.invalid("spec", spec, `spec of '${name}'${but} must equal the fixed value`);
  if (fixed?.exempt) {
    if (!sameJson({ ...spec, exempt: 0 }, { ...fixed, exempt: 0 })) yield wrong(" except the 'spec.exempt' field");
  } else if (fixed && !sameJson(spec, fixed)) yield wrong("");
  yield* validateConditions(level);
}

function* validateSpec(name: string, { type, limited, exempt }: v1.PriorityLevelConfigurationSpec): field.Problems {
  if ((name === "exempt") !== (type === "Exempt"))
    yield field.invalid("spec.type", type, "type must be 'Exempt' if and only if name is 'exempt'");
  if (type === "Exempt") {
    if (limited) yield field.forbidden("spec.limited", "must be nil if the type is not Limited");
    yield* validateShares(exempt ?? {}, "spec.exempt");
    yield* validatePercent(exempt ?? {}, "spec.exempt");
  } else if (type === "Limited") {
    if (exempt) yield field.forbidden("spec.exempt", "must be nil if the type is Limited");
    if (!limited) yield field.required("spec.limited", "must not be empty when type is Limited");
    else yield* validateLimited(limited, "spec.limited");
  } else yield field.notSupported("spec.type", type ?? "", ["Exempt", "Limited"]);
}

function* validateShares({ nominalConcurrencyShares: shares = 0 }: Shares, at: string): field.Problems {
  if (shares < 0) yield field.invalid(`${at}.nominalConcurrencyShares`, shares, "must be a non-negative integer");
}

function* validatePercent({ lendablePercent: value = 0 }: Shares, at: string): field.Problems {
  if (value < 0 || value > 100)
    yield field.invalid(`${at}.lendablePercent`, value, "must be between 0 and 100, inclusive");
}

type Shares = Pick<v1.LimitedPriorityLevelConfiguration, "nominalConcurrencyShares" | "lendablePercent">;

function* validateLimited(limited: v1.LimitedPriorityLevelConfiguration, at: string): field.Problems {
  yield* validateShares(limited, at);
  yield* validateResponse(limited.limitResponse ?? {}, `${at}.limitResponse`);
  yield* validatePercent(limited, at);
  const { borrowingLimitPercent: borrowing = 0 } = limited;
  if (borrowing < 0)
    yield field.invalid(`${at}.borrowingLimitPercent`, borrowing, "if specified, must be a non-negative integer");
}

function* validateResponse({ type, queuing }: Partial<v1.LimitResponse>, at: string): field.Problems {
  if (type === "Reject" && queuing)
    yield field.forbidden(`${at}.queuing`, "must be nil if limited.limitResponse.type is not Limited");
  yield* field.oneOf(`${at}.type`, type, ["Queue", "Reject"], false);
  if (type !== "Queue") return;
  if (!queuing)
    return yield field.required(`${at}.queuing`, "must not be empty if limited.limitResponse.type is Limited");
  const { queues = 0, handSize = 0, queueLengthLimit = 0 } = queuing;
  for (const [key, value] of Object.entries({ queueLengthLimit, queues, handSize }))
    if (value <= 0) yield field.invalid(`${at}.queuing.${key}`, value, "must be positive");
  if (queues > maxQueues) yield field.invalid(`${at}.queuing.queues`, queues, `must not be greater than ${maxQueues}`);
  if (handSize <= 0) return;
  const entropy = Math.ceil(Math.log2(queues) * handSize);
  const hand = `${at}.queuing.handSize`;
  const what = `entropy bits of deckSize ${queues} and handSize ${handSize}`;
  if (handSize > queues) yield field.invalid(hand, handSize, `should not be greater than queues (${queues})`);
  else if (entropy > maxHashBits)
    yield field.invalid(hand, handSize, `required ${what} should not be greater than ${maxHashBits}`);
}
