import * as ast from "./ast.ts";
import { CompileError, call, type Expr, list, marked, markedOperand, node } from "./ast.ts";

/**
 * Checks names, and makes of an expression what the evaluator takes: macros expanded, optional selections and entries as
 * calls. `cost` is what evaluating costs beside its calls (cel-go's runtimecost.go): names and fields 1, a list 10, a map
 * 30; each turn of a loop pays for its own. `at` tells where a node stands. Throws CompileError.
 */
export function lowered(source: string, variables: ReadonlySet<string>, functions: ReadonlyMap<string, unknown>) {
  const tree = ast.parsed(source);
  /** Where cel-go points at. */
  const at = (expr: Expr) => {
    const offset = tree.offsetOf(expr);
    const { exprKind: kind } = expr;
    const isFunction =
      kind.case === "callExpr"
        ? /^[a-z]/i.test(kind.value.function)
        : kind.case === "selectExpr" && kind.value.testOnly;
    return isFunction ? Math.max(offset, source.indexOf("(", offset)) : offset;
  };
  const undeclared = (at: number, name: string) =>
    new CompileError(source, at, `undeclared reference to '${name}' (in container '')`);

  function lower(expr: Expr, scope: ReadonlySet<string>): { expr: Expr; cost: number } {
    const { id, exprKind } = expr;
    let cost = costs[exprKind.case!] ?? 0;
    const visit = (one: Expr | undefined, names = scope): Expr => {
      const made = lower(one!, names);
      cost += made.cost;
      return made.expr;
    };
    const made = (): Expr => {
      switch (exprKind.case) {
        case "identExpr": {
          const { name } = exprKind.value;
          if (!scope.has(name) && !typeNames.has(name)) throw undeclared(tree.offsetOf(expr), name);
          return expr;
        }
        case "selectExpr": {
          const { operand, field, testOnly } = exprKind.value;
          if (ast.qualified(expr)?.startsWith("google.protobuf.")) return expr;
          const optional = markedOperand(operand!);
          const of = visit(optional ?? operand);
          if (!optional && !isOptional(of)) return node(id, "selectExpr", { operand: of, field, testOnly });
          const chosen = call(id, "@opt", of, ast.constant(id, "string", field));
          return testOnly ? node(id, "callExpr", { target: chosen, function: "hasValue", args: [] }) : chosen;
        }
        case "callExpr": {
          const macro = ast.expanded(id, exprKind.value);
          if (macro) return visit(macro);
          const { target, function: name, args } = exprKind.value;
          const optional = name === "_[_]" ? markedOperand(args[0]!) : undefined;
          if (optional) return call(id, "@opt", visit(optional), visit(args[1]));
          const isQualified = target !== undefined && functions.has(`${ast.qualified(target)}.${name}`);
          if (!isQualified && !functions.has(name) && !operators.has(name)) throw undeclared(at(expr), name);
          const given = args.map((arg) => visit(arg));
          if (name === "_[_]" && isOptional(given[0]!)) return call(id, "@opt", ...given);
          const receiver = target && (isQualified ? target : visit(target));
          return node(id, "callExpr", { target: receiver, function: name, args: given });
        }
        case "listExpr": {
          const { elements } = exprKind.value;
          if (!elements.some(marked)) return list(id, ...elements.map((one) => visit(one)));
          const parts = elements.map((one) => (marked(one) ? call(id, "listIf__", marked(one)!) : list(id, one)));
          return visit(call(id, "flat__", list(id, ...parts)));
        }
        case "structExpr": {
          const { messageName, entries } = exprKind.value;
          if (messageName) throw undeclared(tree.offsetOf(expr), messageName);
          const pairs = entries.map(({ keyKind, value }): [Expr, Expr] => [keyKind.value as Expr, value!]);
          if (pairs.some(([key]) => marked(key))) {
            const parts = pairs.map(([key, value]) =>
              marked(key) ? call(id, "pairIf__", marked(key)!, value) : list(id, call(id, "pair__", key, value)),
            );
            return visit(call(id, "mapOf__", call(id, "flat__", list(id, ...parts))));
          }
          const kind = (key: Expr) => ({ case: "mapKey", value: visit(key) });
          const plain = pairs.map(([key, value]) => ({ keyKind: kind(key), value: visit(value) }));
          return node(id, "structExpr", { messageName, entries: plain });
        }
        case "comprehensionExpr": {
          const fold = exprKind.value;
          const inside = new Set([...scope, fold.iterVar, fold.accuVar]);
          const [condition, step] = [lower(fold.loopCondition!, inside), lower(fold.loopStep!, inside)];
          const price = ast.constant(id, "int64", BigInt(condition.cost + step.cost));
          const loop = { loopCondition: call(id, "@pay", price, condition.expr), loopStep: step.expr };
          const ends = { accuInit: visit(fold.accuInit), result: visit(fold.result, inside) };
          return node(id, "comprehensionExpr", { ...fold, ...loop, ...ends, iterRange: visit(fold.iterRange) });
        }
        default:
          return expr;
      }
    };
    return { expr: made(), cost };
  }
  return { ...lower(tree.expr, variables), at };
}

const costs: Record<string, number> = { identExpr: 1, selectExpr: 1, listExpr: 10, structExpr: 30 };
const isOptional = ({ exprKind }: Expr): boolean =>
  exprKind.case === "callExpr" && /^(@opt|or|first|last|of|none|ofNonZeroValue)$/.test(exprKind.value.function);
const operators = new Set(["_&&_", "_||_", "_?_:_", "_[_]", "@not_strictly_false"]);
const typeNames = new Set("bool bytes double duration int list map null_type string timestamp type uint".split(" "));
