import { admissionEnvironment } from "../../apimachinery/cel/authorizer.ts";
import { invalid, type Problems } from "../../apimachinery/field-error.ts";

export const environment = admissionEnvironment(() => ({ type: "NoOpinion", reason: "" }));

/** `params` are there for who says of which kind. */
export const variablesOf = ({ paramKind }: { paramKind?: object }): string[] => [
  ...["object", "oldObject", "request", "namespaceObject", "variables", "authorizer"],
  ...(paramKind ? ["params"] : []),
];

/** Of an expression over `names` whose result has to be of one of the types; any will do without. */
export function* compileProblems(path: string, expression: string, names: string[], ...types: string[]): Problems {
  try {
    const { type } = environment.compile(expression, names);
    if (type === "dyn" || types.length === 0 || types.includes(type)) return;
    return yield invalid(path, expression, `must evaluate to ${types[0]}`);
  } catch (error) {
    return yield invalid(path, expression, `compilation failed: ${(error as Error).message}`);
  }
}
