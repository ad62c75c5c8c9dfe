import { type Expr, qualified } from "./ast.ts";
import { container, dyn, fits, joined, show, simple, type Type } from "./types.ts";

/** A function by what it declares, its receiver first. */
export interface Signature {
  name: string;
  isMethod: boolean;
  args: readonly string[];
  result: string;
}

/**
 * The type of an expression, and what is wrong with it whatever the values are: fields that a type does not have, and calls
 * that no function takes. It is told where `at` says. Source: cel-go's checker (checker/checker.go).
 * Differs: what is not certain is not told; where cel-go wants fields and null, or objects and maps, to be alike, and
 * evaluating does not, nothing is told.
 */
export function check(
  root: Expr,
  variables: Readonly<Record<string, Type>>,
  functions: ReadonlyMap<string, readonly Signature[]>,
  at: (expr: Expr) => number,
): { type: Type; problems: { at: number; message: string }[] } {
  const problems = new Map<string, { at: number; message: string }>();
  const tell = (where: Expr, message: string): Type => {
    problems.set(`${at(where)} ${message}`, { at: at(where), message });
    return dyn;
  };
  type Scope = ReadonlyMap<string, Type>;

  function typeOf(expr: Expr, scope: Scope): Type {
    const { exprKind } = expr;
    switch (exprKind.case) {
      case "constExpr":
        return simple(exprKind.value.constantKind.case!.replace(/64Value$|Value$/, ""));
      case "identExpr":
        return scope.get(exprKind.value.name) ?? (functions.has(exprKind.value.name) ? simple("type") : dyn);
      case "selectExpr": {
        const { operand, field, testOnly } = exprKind.value;
        const selected = fieldOf(expr, typeOf(operand!, scope), field);
        return testOnly ? simple("bool") : selected;
      }
      case "listExpr":
        return container("list", common(exprKind.value.elements.map((one) => typeOf(one, scope))));
      case "structExpr": {
        const { entries } = exprKind.value;
        const keys = entries.map(({ keyKind }) => typeOf(keyKind.value as Expr, scope));
        const key = common(keys); // any other is no key; kept, it would double what a type says at each level of nesting
        return container("map", common(entries.map(({ value }) => typeOf(value!, scope))), isScalar(key) ? key : dyn);
      }
      case "comprehensionExpr": {
        const { iterVar, iterRange, accuVar, accuInit, loopCondition, loopStep, result } = exprKind.value;
        const range = typeOf(iterRange!, scope);
        const item = range.kind === "list" ? range.of! : range.kind === "map" ? range.key! : dyn;
        if (isScalar(range))
          tell(
            iterRange!,
            `expression of type '${show(range)}' cannot be range of a comprehension (must be list, map, or dynamic)`,
          );
        const start = typeOf(accuInit!, scope);
        const inside = new Map(scope).set(iterVar, item).set(accuVar, start);
        typeOf(loopCondition!, inside);
        const accu = joined(start, typeOf(loopStep!, inside)) ?? dyn;
        return typeOf(result!, new Map(scope).set(accuVar, accu));
      }
      case "callExpr": {
        const { target, function: name, args } = exprKind.value;
        const whole = target && `${qualified(target)}.${name}`;
        if (whole !== undefined && functions.has(whole)) return called(expr, whole, false, args, scope);
        return called(expr, name, target !== undefined, target ? [target, ...args] : args, scope);
      }
      default:
        return dyn;
    }
  }

  function fieldOf(expr: Expr, type: Type, name: string): Type {
    if (type.field) return type.field(name) ?? tell(expr, `undefined field '${name}'`);
    if (isScalar(type) || type.kind === "list")
      return tell(expr, `type '${show(type)}' does not support field selection`);
    return type.kind === "map" ? type.of! : dyn;
  }

  function called(expr: Expr, name: string, isMethod: boolean, operands: readonly Expr[], scope: Scope): Type {
    const given = operands.map((one) => typeOf(one, scope));
    const [first, second, third] = given as [Type, Type, Type];
    if (name === "@opt")
      return container("optional", chosen(expr, first.kind === "optional" ? first.of! : first, operands[1]!));
    const rows = (functions.get(name) ?? builtIn.get(name) ?? []).filter((row) => row.isMethod === isMethod);
    const takes = rows.filter(
      ({ args }) => args.length === given.length && args.every((arg, i) => fits(given[i]!, arg)),
    );
    const unlike = alike[name]?.(given) === false;
    if (!isInternal.test(name) && rows.length > 0 && (takes.length === 0 || unlike)) {
      const [receiver, ...rest] = isMethod ? given : [undefined, ...given];
      const applied = `${receiver ? `${show(receiver)}.` : ""}(${rest.map((type) => show(type!)).join(", ")})`;
      return tell(expr, `found no matching overload for '${name}' applied to '${applied}'`);
    }
    if (name === "_?_:_") return joined(second, third) ?? dyn;
    if (name === "_[_]") return first.of ?? dyn;
    if (name === "orValue" || name === "value") return common([first.of ?? dyn, ...given.slice(1)]);
    const results = new Set(takes.map(({ result }) => result));
    const [result = "dyn"] = results;
    if (results.size !== 1 || result === "any") return dyn;
    if (result === "list") return name === "_+_" ? common([first, second]) : container("list");
    return result === "map" || result === "optional" ? container(result) : simple(result);
  }

  /** `a.?b`, `a[?b]`, and what is selected from an optional. */
  function chosen(expr: Expr, type: Type, { exprKind }: Expr): Type {
    const constant = exprKind.case === "constExpr" ? exprKind.value.constantKind : undefined;
    if (type.field && constant?.case === "stringValue") return fieldOf(expr, type, constant.value);
    return type.of ?? dyn;
  }

  const type = typeOf(root, new Map(Object.entries(variables)));
  return { type, problems: [...problems.values()].sort((a, b) => a.at - b.at) };
}

const common = (types: Type[]): Type => types.reduce<Type>((all, one) => joined(all, one) ?? dyn, simple("none"));
const isScalar = ({ kind }: Type) => /^(bool|int|uint|double|string|bytes)$/.test(kind);

/** What macros become (library.ts). */
const isInternal = /__$|^@(?!in$)/;

/** What the evaluator itself knows, as functions. */
const builtIn = new Map<string, Signature[]>();
const declare = (name: string, result: string, ...args: string[]) =>
  builtIn.set(name, [...(builtIn.get(name) ?? []), { name, isMethod: false, args, result }]);
for (const name of ["_&&_", "_||_"]) declare(name, "bool", "bool", "bool");
declare("_?_:_", "any", "bool", "any", "any");
declare("_[_]", "any", "list", "int");
declare("_[_]", "any", "map", "any");
declare("@not_strictly_false", "bool", "bool");

/** Where the language wants what evaluating does without. */
const alike: Record<string, (given: Type[]) => boolean> = {
  "_==_": ([a, b]) => joined(a!, b!) !== undefined,
  "_!=_": ([a, b]) => joined(a!, b!) !== undefined,
  "_?_:_": ([, a, b]) => joined(a!, b!) !== undefined,
  "@in": ([a, list]) => list!.kind !== "list" || joined(a!, list!.of!) !== undefined,
};
