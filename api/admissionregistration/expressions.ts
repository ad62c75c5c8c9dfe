import { admissionEnvironment } from "../../apimachinery/cel/authorizer.ts";
import { invalid, type Problems } from "../../apimachinery/field-error.ts";

export const environment = admissionEnvironment(() => ({ type: "NoOpinion", reason: "" }));

/** Of an expression whose result has to be of one of the types; any will do without. */
export function* compileProblems(path: string, expression: string, ...types: string[]): Problems {
  try {
    const { type } = environment.compile(expression);
    if (type === "dyn" || types.length === 0 || types.includes(type)) return;
    return yield invalid(path, expression, `must evaluate to ${types[0]}`);
  } catch (error) {
    return yield invalid(path, expression, `compilation failed: ${(error as Error).message}`);
  }
}
