import { parse } from "@bufbuild/cel";

/** The tree of an expression (cel.expr.Expr), how to build it, and the grammar and macros that the library's parser lacks. */
export type Expr = NonNullable<ReturnType<typeof parse>["expr"]>;
type Call = Extract<Expr["exprKind"], { case: "callExpr" }>["value"];

export const node = (id: bigint, kind: NonNullable<Expr["exprKind"]["case"]>, value: object): Expr =>
  ({ id, exprKind: { case: kind, value } }) as Expr;

export const call = (id: bigint, name: string, ...args: Expr[]) => node(id, "callExpr", { function: name, args });
export const list = (id: bigint, ...elements: Expr[]) => node(id, "listExpr", { elements, optionalIndices: [] });
export const constant = (id: bigint, type: "bool" | "int64" | "string", value: unknown) =>
  node(id, "constExpr", { constantKind: { case: `${type}Value`, value } });

/** cel.bind(name, init, result): a fold over nothing. */
function bind(id: bigint, name: string, init: Expr, result: Expr): Expr {
  const loop = { iterVar: "@unused", iterVar2: "", iterRange: list(id), loopCondition: constant(id, "bool", false) };
  const loopStep = node(id, "identExpr", { name }); // never taken; `init` again would double each level of nesting
  return node(id, "comprehensionExpr", { ...loop, accuVar: name, accuInit: init, loopStep, result });
}

/** `a.b.c`; undefined for what is no name. */
export function qualified({ exprKind }: Expr): string | undefined {
  if (exprKind.case === "identExpr") return exprKind.value.name;
  if (exprKind.case !== "selectExpr") return undefined;
  const outer = qualified(exprKind.value.operand!);
  return outer && `${outer}.${exprKind.value.field}`;
}

/**
 * Macros that the parser lacks (cel-go's ext/comprehensions.go, optionals), by name and number of arguments, in terms of
 * those that it has: T is the target, E the last argument and F the filter before it, in which the first arguments name
 * what stands in front.
 */
const pairwise = ["key__(P)", "value__(P)"];
const macros: Record<string, [names: string[], template: string]> = {
  "all/3": [pairwise, "entries__(T).all(P, E)"],
  "exists/3": [pairwise, "entries__(T).exists(P, E)"],
  "existsOne/3": [pairwise, "entries__(T).exists_one(P, E)"],
  "exists_one/3": [pairwise, "entries__(T).exists_one(P, E)"],
  "transformList/3": [pairwise, "entries__(T).map(P, E)"],
  "transformList/4": [pairwise, "entries__(T).map(P, F, E)"],
  "transformMap/3": [pairwise, "mapOf__(entries__(T).map(P, pair__(key__(P), E)))"],
  "transformMap/4": [pairwise, "mapOf__(entries__(T).map(P, F, pair__(key__(P), E)))"],
  "transformMapEntry/3": [pairwise, "mapOf__(flat__(entries__(T).map(P, entries__(E))))"],
  "transformMapEntry/4": [pairwise, "mapOf__(flat__(entries__(T).map(P, F, entries__(E))))"],
  "optMap/2": [["P"], "listIf__(T).map(P, E).first()"],
  "optFlatMap/2": [["P"], "listIf__(T).map(P, E).unwrapOpt().first()"],
};

/** Undefined for what is no macro. */
export function expanded(id: bigint, { target, function: name, args }: Call): Expr | undefined {
  if (target === undefined) return undefined;
  if (name === "bind" && args.length === 3 && qualified(target) === "cel")
    return bind(id, nameOf(args[0]!) ?? "", args[1]!, args[2]!);
  const [bound, template] = macros[`${name}/${args.length}`] ?? [[], ""];
  const names = args.slice(0, bound.length).map(nameOf);
  if (template === "" || names.includes(undefined)) return undefined;
  const inside = (body: Expr | undefined) =>
    body && bound.reduceRight((inner, what, i) => bind(id, names[i]!, filled(id, what, {}), inner), body);
  return filled(id, template, { T: target, E: inside(args.at(-1)), F: inside(args.at(-2)) });
}

const nameOf = ({ exprKind }: Expr) => (exprKind.case === "identExpr" ? exprKind.value.name : undefined);

/** A template as a tree with its holes filled; all of it stands where the macro does. */
function filled(id: bigint, template: string, parts: Record<string, Expr | undefined>): Expr {
  const copy = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(copy);
    if (typeof value !== "object" || value === null) return value === "P" ? "@pair" : value;
    const part = "exprKind" in value ? parts[nameOf(value as Expr) ?? ""] : undefined;
    return part ?? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, key === "id" ? id : copy(one)]));
  };
  return copy(parse(template).expr) as Expr;
}

const mark = "__optional__";

/**
 * Parses what the library's parser does, and `a.?b`, `a[?i]`, `[?a]`, `{?a: b}`, which are first put into its grammar with
 * a marked name. `offsetOf` tells where a node stands. Throws CompileError.
 */
export function parsed(source: string): { expr: Expr; offsetOf(expr: Expr): number } {
  const edits: { at: number; more: number }[] = [];
  const text = source.replace(optionals, (found, quoted: string | undefined, at: number) => {
    if (quoted !== undefined || found.startsWith("//")) return found;
    const isIndexed = found.startsWith("[") && isIndex.test(source.slice(0, at));
    const literal = `${found.slice(0, -1)}${mark} ? 0 : `;
    const made = found.startsWith(".") ? `.${mark}.` : isIndexed ? `.${mark}[` : literal;
    edits.push({ at: at + found.length, more: made.length - found.length });
    return made;
  });
  const original = (offset: number) =>
    edits.reduce((at, { at: from, more }) => (at >= from + more - 1 ? at - more : at), offset);
  try {
    const { expr, sourceInfo } = parse(text);
    const { positions } = sourceInfo as unknown as { positions: Record<string, number> };
    return { expr: expr!, offsetOf: ({ id }) => original(positions[String(id)] ?? 0) };
  } catch (error) {
    const [, line = "1", column = "1", why = (error as Error).message] =
      /^<input>:(\d+):(\d+): ([\s\S]*)$/.exec((error as Error).message) ?? []; // else too deep for the stack
    const before = text.split("\n").slice(0, Number(line) - 1);
    const start = before.reduce((sum, { length }) => sum + length + 1, 0);
    throw new CompileError(source, original(start + Number(column) - 1), `Syntax error: ${why}`);
  }
}

/** In cel-go's form. */
export class CompileError extends Error {
  override name = "CompileError";

  constructor(source: string, offset: number, message: string) {
    const before = source.slice(0, offset).split("\n");
    const line = source.split("\n")[before.length - 1] ?? "";
    const column = before.at(-1)!.length;
    super(`ERROR: <input>:${before.length}:${column + 1}: ${message}\n | ${line}\n | ${".".repeat(column)}^`);
  }
}

const optionals =
  /[rRbB]{0,2}("""[\s\S]*?"""|'''[\s\S]*?'''|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\/\/.*|\.\s*\?|[[{,]\s*\?/g;
/** What a `[` follows when it is an index. */
const isIndex = /(?:[)\]}'"]|(?<!\bin)(?<=\w))\s*$/;

/** `?e` in a literal: what is behind the mark. */
export function marked({ exprKind }: Expr): Expr | undefined {
  if (exprKind.case !== "callExpr" || exprKind.value.function !== "_?_:_") return undefined;
  const [first, , behind] = exprKind.value.args;
  return nameOf(first!) === mark ? behind : undefined;
}

/** `a.?b` and `a[?i]`: the operand is `a.mark`. */
export function markedOperand({ exprKind }: Expr): Expr | undefined {
  return exprKind.case === "selectExpr" && exprKind.value.field === mark ? exprKind.value.operand! : undefined;
}
