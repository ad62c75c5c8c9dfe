import * as field from "../apimachinery/field-error.ts";
import type { Condition } from "../apimachinery/generated/meta-v1.ts";
import { conditionReason, qualifiedName } from "../apimachinery/names.ts";

const maxReason = 1024;
const maxMessage = 32 * 1024;
const statuses = ["False", "True", "Unknown"];

/** Conditions as metav1 has them, each type once (upstream: metav1validation.ValidateConditions). */
export const validateConditions = (conditions: readonly Partial<Condition>[] | undefined, at: string): field.Problems =>
  field.each(conditions, at, validateCondition, { key: ({ type = "" }) => type, at: "type" });

function* validateCondition(condition: Partial<Condition>, at: string): field.Problems {
  const { type = "", status = "", observedGeneration = 0, lastTransitionTime, reason = "", message = "" } = condition;
  yield* field.shaped(`${at}.type`, type, qualifiedName);
  if (!statuses.includes(status)) yield field.notSupported(`${at}.status`, status, statuses);
  if (observedGeneration < 0)
    yield field.invalid(`${at}.observedGeneration`, observedGeneration, "must be greater than or equal to zero");
  if (!lastTransitionTime) yield field.required(`${at}.lastTransitionTime`, "must be set");
  if (!reason) yield field.required(`${at}.reason`, "must be set");
  else yield* field.shaped(`${at}.reason`, reason, conditionReason);
  if (reason.length > maxReason) yield field.tooLong(`${at}.reason`, maxReason);
  if (message.length > maxMessage) yield field.tooLong(`${at}.message`, maxMessage);
}
