import {
  type CelFunc,
  type CelInput,
  type CelResult,
  CelScalar,
  type CelValue,
  celEnv,
  celFunc,
  celMethod,
  isCelError,
  isCelList,
  isCelMap,
  listType,
  parse,
  plan,
} from "@bufbuild/cel";
import { strings } from "@bufbuild/cel/ext";
import { kubernetesLibrary } from "./library.ts";
import { concatLists, tagged, untag } from "./values.ts";

/**
 * CEL as Kubernetes speaks it, for admission policies, match conditions and the rules of custom resources: the language
 * with its standard macros, the string functions, and Kubernetes' libraries (library.ts). Expressions are the caller's:
 * what one may cost is bounded, so none can hang the server.
 *
 *     const environment = new Environment(["self"]);
 *     const program = environment.compile("self.replicas <= 5"); // throws CompileError
 *     program.evaluate({ self: jsonToCel({ replicas: 3 }) }, new Budget()); // true; throws an Error
 *
 * Differs: there are no static types, so an expression with an operator that the types do not have fails when it is
 * evaluated, and costs are steps of loops, not cel-go's estimate. Absent: macros with two variables, optMap, `{?key: v}`.
 */
export class Environment {
  readonly #variables: ReadonlySet<string>;
  readonly #env: ReturnType<typeof celEnv>;
  readonly #functions = new Map<string, Set<string>>();
  /** Of the evaluation that runs; evaluating is synchronous. */
  #budget = new Budget();

  constructor(variables: readonly string[], functions: readonly CelFunc[] = []) {
    this.#variables = new Set(variables);
    const funcs = [...strings.map((func) => this.#bounded(func)), ...kubernetesLibrary, ...this.#own(), ...functions];
    this.#env = celEnv({ funcs });
    for (const { name, result } of this.#env.funcs) {
      const results = this.#functions.get(name) ?? new Set();
      this.#functions.set(name, results.add(result.name));
    }
  }

  /** Throws CompileError with a text in cel-go's form. */
  compile(expression: string): Program {
    const fail = (offset: number, message: string) => new CompileError(expression, offset, message);
    if (expression.length > maxExpression) throw fail(0, `expression is longer than ${maxExpression} characters`);
    let expr: Expr;
    let run: (variables: Record<string, CelInput>) => CelResult;
    try {
      const parsed = parse(desugared(expression));
      const { positions } = parsed.sourceInfo as { positions: Record<string, number> };
      expr = this.#rewrite(parsed.expr as unknown as Expr, this.#variables, (id, name) =>
        fail(positions[String(id)] ?? 0, `undeclared reference to '${name}' (in container '')`),
      );
      run = plan(this.#env, expr as never);
    } catch (error) {
      if (error instanceof CompileError) throw error;
      const [, line = "1", column = "1", text = (error as Error).message] =
        /^<input>:(\d+):(\d+): ([\s\S]*)$/.exec((error as Error).message) ?? []; // else too deep for the stack
      const before = expression.split("\n").slice(0, Number(line) - 1);
      const start = before.reduce((sum, { length }) => sum + length + 1, 0);
      throw fail(start + Number(column) - 1, `Syntax error: ${text}`);
    }
    return {
      expression,
      type: this.#typeOf(expr),
      evaluate: (variables, budget) => {
        const outer = this.#budget; // a lazy variable is evaluated inside another expression
        this.#budget = budget;
        try {
          const result = run(variables);
          if (!isCelError(result)) return result;
          throw new Error(result.message.replace(/^field not found: /, "no such key: "), { cause: result });
        } finally {
          this.#budget = outer;
        }
      },
    };
  }

  /** Checks names; makes loops pay, and of `a.?b` and cel.bind what the library can evaluate. */
  #rewrite(expr: Expr, scope: ReadonlySet<string>, undeclared: (id: bigint, name: string) => Error): Expr {
    const visit = (inner: Expr, names = scope) => this.#rewrite(inner, names, undeclared);
    const { id, exprKind } = expr;
    switch (exprKind.case) {
      case "identExpr": {
        const { name } = exprKind.value;
        if (!scope.has(name) && !typeNames.has(name)) throw undeclared(id, name);
        return expr;
      }
      case "selectExpr": {
        const select = exprKind.value;
        if (select.operand.exprKind.case === "selectExpr" && select.operand.exprKind.value.field === optionalMark)
          return call(id, "@opt", visit(select.operand.exprKind.value.operand), text(id, select.field));
        if (qualified(expr)?.startsWith("google.protobuf.")) return expr;
        select.operand = visit(select.operand);
        return isOptional(select.operand) && !select.testOnly
          ? call(id, "@opt", select.operand, text(id, select.field))
          : expr;
      }
      case "callExpr": {
        const { target, function: name, args } = exprKind.value;
        if (name === "_[_]" && args[0]?.exprKind.case === "selectExpr" && args[0].exprKind.value.field === optionalMark)
          return call(id, "@opt", visit(args[0].exprKind.value.operand), visit(args[1]!));
        const full = target && qualified(target) ? `${qualified(target)}.${name}` : name;
        if (full === "cel.bind" && args[0]?.exprKind.case === "identExpr")
          return visit(bind(id, args[0].exprKind.value.name, args[1]!, args[2]!));
        const isQualified = full !== name && this.#functions.has(full);
        if (!isQualified && !this.#functions.has(name) && !operators.has(name)) throw undeclared(id, name);
        exprKind.value.args = args.map((arg) => visit(arg));
        if (target && !isQualified) exprKind.value.target = visit(target);
        const [first, index] = exprKind.value.args;
        return name === "_[_]" && isOptional(first!) ? call(id, "@opt", first!, index!) : expr;
      }
      case "comprehensionExpr": {
        const fold = exprKind.value;
        const inside = new Set([...scope, fold.iterVar, fold.accuVar]);
        fold.iterRange = call(id, "@range", visit(fold.iterRange));
        fold.accuInit = visit(fold.accuInit);
        for (const part of ["loopCondition", "loopStep", "result"] as const) fold[part] = visit(fold[part], inside);
        return expr;
      }
      case "listExpr":
        exprKind.value.elements = exprKind.value.elements.map((element) => visit(element));
        return expr;
      case "structExpr":
        for (const entry of exprKind.value.entries) {
          if (entry.keyKind.case === "mapKey") entry.keyKind.value = visit(entry.keyKind.value);
          entry.value = visit(entry.value);
        }
        return expr;
      default:
        return expr;
    }
  }

  /** The type of the result where the expression alone tells; else "dyn". */
  #typeOf({ exprKind }: Expr): string {
    if (exprKind.case === "constExpr") return exprKind.value.constantKind.case!.replace(/64Value$|Value$/, "");
    if (exprKind.case === "listExpr") return "list";
    if (exprKind.case === "structExpr") return "map";
    if (exprKind.case !== "callExpr") return "dyn";
    const { function: name } = exprKind.value;
    if (name === "_&&_" || name === "_||_") return "bool";
    const results = [...(this.#functions.get(name) ?? ["dyn"])];
    return results.length === 1 ? results[0]! : "dyn";
  }

  #own(): CelFunc[] {
    return [
      celFunc("@range", [DYN], DYN, (range) => {
        if (isCelList(range) || isCelMap(range)) this.#budget.spend(range.size + 1);
        return range;
      }),
      celFunc("@opt", [DYN, DYN], DYN, (container, key) => {
        const optional = untag("optional", container);
        const inside = isCelList(optional) ? optional.get(0) : container;
        let found: CelValue | undefined;
        if (isCelMap(inside)) found = inside.get(key as string);
        else if (isCelList(inside) && typeof key === "bigint") found = inside.get(Number(key));
        return tagged("optional", found === undefined ? [] : [found]);
      }),
      celFunc("_+_", [listType(DYN), listType(DYN)], listType(DYN), concatLists),
      celFunc("_+_", [STRING, STRING], STRING, (left, right) => {
        this.#budget.spend((left.length + right.length) / charsPerStep);
        return left + right;
      }),
    ];
  }

  /** A string may be many times as long as what it is made of. */
  #bounded(func: CelFunc): CelFunc {
    if (func.name !== "replace" && func.name !== "join") return func;
    const spend = (steps: number) => this.#budget.spend(steps / charsPerStep);
    const lengthOf = (value: unknown) => (typeof value === "string" ? value.length : 0);
    return celMethod(func.name, func.target!, func.arguments, func.result, function (...args: CelValue[]) {
      if (isCelList(this)) for (const item of this) spend(lengthOf(item) + lengthOf(args[0]) + 1);
      else spend((lengthOf(this) + 1) * (lengthOf(args[1]) + 1));
      const result = func.call(0, this, args)!;
      if (isCelError(result)) throw result;
      return result;
    });
  }
}

export interface Program {
  readonly expression: string;
  /** `bool`, `string`, ..., or `dyn` when only evaluating tells. */
  readonly type: string;
  /** Throws an Error with what went wrong, BudgetError when it cost too much. */
  evaluate(variables: Record<string, CelInput>, budget: Budget): CelValue;
}

/** How many steps of loops are left, for one expression or for several that share it. */
export class Budget {
  #left: number;

  constructor(steps = 200_000) {
    this.#left = steps;
  }

  get spent(): boolean {
    return this.#left < 0;
  }

  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw new Error("operation cancelled: actual cost limit exceeded");
  }
}

export class CompileError extends Error {
  override name = "CompileError";

  constructor(expression: string, offset: number, message: string) {
    const before = expression.slice(0, offset).split("\n");
    const line = expression.split("\n")[before.length - 1] ?? "";
    const column = before.at(-1)!.length;
    super(`ERROR: <input>:${before.length}:${column + 1}: ${message}\n | ${line}\n | ${".".repeat(column)}^`);
  }
}

const { DYN, STRING } = CelScalar;
const maxExpression = 20_000;
const charsPerStep = 100;

const optionalMark = "__optional__";

/** `a.?b` and `a[?i]` in the grammar that the parser has; string literals stay. */
function desugared(expression: string): string {
  return expression.replace(
    /r?("""[\s\S]*?"""|'''[\s\S]*?'''|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\.\?|(?<=[\w)\]])\[\?/g,
    (part) => (part === ".?" ? `.${optionalMark}.` : part === "[?" ? `.${optionalMark}[` : part),
  );
}

interface Expr {
  id: bigint;
  exprKind:
    | { case: "identExpr"; value: { name: string } }
    | { case: "constExpr"; value: { constantKind: { case: string | undefined; value?: unknown } } }
    | { case: "selectExpr"; value: { operand: Expr; field: string; testOnly: boolean } }
    | { case: "callExpr"; value: { target?: Expr | undefined; function: string; args: Expr[] } }
    | { case: "listExpr"; value: { elements: Expr[]; optionalIndices: number[] } }
    | { case: "structExpr"; value: { messageName: string; entries: Entry[] } }
    | { case: "comprehensionExpr"; value: Fold }
    | { case: undefined };
}

interface Entry {
  keyKind: { case: "fieldKey"; value: string } | { case: "mapKey"; value: Expr };
  value: Expr;
}

interface Fold {
  iterVar: string;
  iterVar2: string;
  accuVar: string;
  iterRange: Expr;
  accuInit: Expr;
  loopCondition: Expr;
  loopStep: Expr;
  result: Expr;
}

const call = (id: bigint, name: string, ...args: Expr[]): Expr => ({
  id,
  exprKind: { case: "callExpr", value: { function: name, args } },
});

const constant = (id: bigint, type: string, value: unknown): Expr => ({
  id,
  exprKind: { case: "constExpr", value: { constantKind: { case: type, value } } },
});

const text = (id: bigint, value: string) => constant(id, "stringValue", value);

/** cel.bind(name, init, result): a fold over nothing. */
function bind(id: bigint, name: string, init: Expr, result: Expr): Expr {
  const iterRange: Expr = { id, exprKind: { case: "listExpr", value: { elements: [], optionalIndices: [] } } };
  const loopStep: Expr = { id, exprKind: { case: "identExpr", value: { name } } };
  const loopCondition = constant(id, "boolValue", false);
  const fold = { iterVar: "#unused", iterVar2: "", accuVar: name, accuInit: init, iterRange };
  return { id, exprKind: { case: "comprehensionExpr", value: { ...fold, loopCondition, loopStep, result } } };
}

function qualified({ exprKind }: Expr): string | undefined {
  if (exprKind.case === "identExpr") return exprKind.value.name;
  const outer = exprKind.case === "selectExpr" ? qualified(exprKind.value.operand) : undefined;
  return outer && exprKind.case === "selectExpr" ? `${outer}.${exprKind.value.field}` : undefined;
}

const isOptional = ({ exprKind }: Expr): boolean =>
  exprKind.case === "callExpr" &&
  (exprKind.value.function === "@opt" ||
    exprKind.value.function === "or" ||
    (/^(of|none|ofNonZeroValue)$/.test(exprKind.value.function) &&
      exprKind.value.target !== undefined &&
      qualified(exprKind.value.target) === "optional"));

const operators = new Set(["_&&_", "_||_", "_?_:_", "_[_]", "@not_strictly_false", "__not_strictly_false__"]);
const typeNames = new Set(
  "bool bytes double duration int list map null_type string timestamp type uint dyn google".split(" "),
);
