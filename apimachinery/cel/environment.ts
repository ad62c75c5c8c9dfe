import type { CelFunc, CelInput, CelValue } from "@bufbuild/cel";
import { CelScalar, celEnv, celFunc, isCelError, plan } from "@bufbuild/cel";
import { strings } from "@bufbuild/cel/ext";
import { CompileError, type Expr } from "./ast.ts";
import { check, type Signature } from "./check.ts";
import { kubernetesLibrary } from "./library.ts";
import { lowered } from "./lower.ts";
import { callCost, funcsOf, type Library, nativeSignature, signatureOf } from "./overloads.ts";
import type { Type } from "./types.ts";

export { CompileError };

/**
 * CEL as Kubernetes speaks it, for admission policies, match conditions and the rules of custom resources: the language
 * with all its macros and cel-go's extensions that Kubernetes turns on, and Kubernetes' libraries (library.ts).
 * Expressions are the caller's: what one may cost is bounded as cel-go counts it (callCost).
 *
 *     const environment = new Environment(["self"]);
 *     const program = environment.compile("self.replicas <= 5"); // throws CompileError
 *     program.evaluate({ self: jsonToCel({ replicas: 3 }) }, new Budget()); // true; throws an Error
 *
 * Differs: an operator or field that the types do not have fails when it is evaluated, unless somebody asked checker()
 * before; no cost is estimated when a rule is written. Absent: messages of protobuf.
 */
export class Environment {
  readonly #variables: ReadonlySet<string>;
  readonly #env: ReturnType<typeof celEnv>;
  readonly #results = new Map<string, Set<string>>();
  readonly #signatures = new Map<string, Signature[]>();
  /** Of the evaluation that runs; evaluating is synchronous. */
  #spend: (cost: number) => void = () => {};

  constructor(variables: readonly string[], own: Library = {}) {
    this.#variables = new Set(variables);
    const pay = celFunc("@pay", [CelScalar.INT, CelScalar.BOOL], CelScalar.BOOL, (_price, condition) => condition);
    const [native, library] = [[...celEnv().funcs, ...strings, pay], { ...kubernetesLibrary, ...own }];
    const funcs = [...native, ...funcsOf(library)];
    this.#env = celEnv({ funcs: funcs.map((func) => this.#paid(func)) });
    for (const { name, result } of funcs) this.#results.set(name, new Set(this.#results.get(name)).add(result.name));
    for (const one of [...native.map(nativeSignature), ...Object.keys(library).map(signatureOf)])
      this.#signatures.set(one.name, [...(this.#signatures.get(one.name) ?? []), one]);
  }

  /**
   * What is wrong with an expression when its variables, and there are no others, have types, in cel-go's form; the type of
   * its result. Never throws: an expression that does not compile is a problem, too.
   */
  checker(expression: string, names: readonly string[]): (variables: Record<string, Type>) => Checked {
    const guarded = <T>(run: () => T): T | Checked => {
      try {
        return run();
      } catch (error) {
        return { type: undefined, text: error instanceof CompileError ? error.message : "" }; // else too deep for the stack
      }
    };
    const tree = guarded(() => lowered(expression, new Set(names), this.#results));
    if ("text" in tree) return () => tree;
    return (variables) =>
      guarded(() => {
        const { type, problems } = check(tree.expr, variables, this.#signatures, tree.at);
        const texts = problems
          .slice(0, 100)
          .map(({ at, message }) => new CompileError(expression, at, message).message);
        return { type, text: texts.join("\n") };
      });
  }

  /** Throws CompileError with a text in cel-go's form. `names` are the variables that there are, when not all. */
  compile(expression: string, names: Iterable<string> = this.#variables): Program {
    if (expression.length > maxExpression)
      throw new CompileError(expression, 0, `expression is longer than ${maxExpression} characters`);
    const { expr, cost, run } = this.#planned(expression, new Set(names));
    return {
      expression,
      type: this.#typeOf(expr),
      evaluate: (variables, budget) => {
        const outer = this.#spend; // a lazy variable is evaluated inside another expression
        let left = maxCostOfCall;
        this.#spend = (spent) => {
          left -= spent;
          budget.left -= spent;
          if (left < 0 || budget.spent) throw new Error("operation cancelled: actual cost limit exceeded");
        };
        try {
          this.#spend(cost);
          const result = run(variables);
          if (!isCelError(result)) return result;
          throw new Error(reworded(result.message), { cause: result });
        } finally {
          this.#spend = outer;
        }
      },
    };
  }

  #planned(expression: string, variables: ReadonlySet<string>) {
    try {
      const { expr, cost } = lowered(expression, variables, this.#results);
      return { expr, cost, run: plan(this.#env, expr) };
    } catch (error) {
      if (error instanceof CompileError) throw error;
      throw new CompileError(expression, 0, `Syntax error: ${(error as Error).message}`); // too deep for the stack
    }
  }

  /** The type of the result where the expression alone tells; else "dyn". */
  #typeOf({ exprKind }: Expr): string {
    if (exprKind.case === "constExpr") return exprKind.value.constantKind.case!.replace(/64Value$|Value$/, "");
    if (exprKind.case === "listExpr") return "list";
    if (exprKind.case === "structExpr") return "map";
    if (exprKind.case !== "callExpr") return "dyn";
    if (/^_(&&|\|\|)_$/.test(exprKind.value.function)) return "bool";
    const results = [...(this.#results.get(exprKind.value.function) ?? [])];
    return results.length === 1 ? results[0]! : "dyn";
  }

  #paid(func: CelFunc): CelFunc {
    const paid = Object.create(func) as CelFunc;
    paid.call = (id, target, args) => {
      const given = target === undefined ? args : [target, ...args];
      const isDear = dear.has(func.name) && args.length === func.arguments.length;
      if (isDear) this.#spend(callCost(func.name, given));
      const result = func.call(id, target, args);
      if (result !== undefined && !isDear) this.#spend(callCost(func.name, given));
      return result;
    };
    return paid;
  }
}

interface Checked {
  type: Type | undefined;
  /** Empty when nothing is wrong. */
  text: string;
}

export interface Program {
  readonly expression: string;
  /** `bool`, `string`, ..., or `dyn` when only evaluating tells. */
  readonly type: string;
  /** Throws an Error with what went wrong, or that it cost too much. */
  evaluate(variables: Record<string, CelInput>, budget: Budget): CelValue;
}

/**
 * What expressions that share it may cost together. One alone may cost 1,000,000 (k8s.io/apiserver/pkg/apis/cel), about half
 * a second. Differs: together a fifth of upstream's, since nothing else runs meanwhile.
 */
export class Budget {
  left: number;

  constructor(cost = 2_000_000) {
    this.left = cost;
  }

  get spent(): boolean {
    return this.left < 0;
  }
}

/** What takes long pays before it is done. */
const dear = new Set(["replace", "join", "find", "findAll", "matches"]);
const maxCostOfCall = 1_000_000;
const maxExpression = 20_000;

/** The evaluator's messages in cel-go's words. */
const reworded = (message: string) =>
  rewordings.reduce((text, [pattern, words]) => text.replace(pattern, words), message);
const mismatch = "type conversion error from 'string' to";
const rewordings: [RegExp, string][] = [
  [/^field not found: /, "no such key: "],
  [/^found no matching overload for[\s\S]*/, "no such overload"],
  [/^u?int divide by zero$/, "division by zero"],
  [/^u?int modulus by zero$/, "modulus by zero"],
  [/^int overflow during .*/, "integer overflow"],
  [/^uint overflow during .*/, "unsigned integer overflow"],
  [/^index (\S+) out of bounds[\s\S]*/, "index out of bounds: $1"],
  [/^Unable to convert string '.*' to bool$/s, `${mismatch} 'bool'`],
  [/^Failed to parse timestamp[\s\S]*/, `${mismatch} 'google.protobuf.Timestamp'`],
  [/^Failed to parse duration[\s\S]*/, `${mismatch} 'google.protobuf.Duration'`],
];
