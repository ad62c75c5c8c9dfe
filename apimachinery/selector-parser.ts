import type { Operator, Requirement } from "./selectors.ts";
import { badRequest } from "./status.ts";

/** The text of a label selector, token by token: `app=web,tier in (a,b),!old`. Throws BadRequest in upstream's words. */
export function parseRequirements(text: string, checked: Check): Requirement[] {
  const tokens = scan(text);
  let at = 0;
  const peek = (): Token => tokens[at] ?? { type: "end", text: "" };
  const take = (): Token => {
    const token = peek();
    at++;
    return token;
  };
  const error = (message: string) => badRequest(`unable to parse requirement: ${message}`);

  const requirements: Requirement[] = [];
  for (;;) {
    const token = peek();
    if (token.type === "end") return requirements;
    if (token.type !== "id" && token.text !== "!")
      throw badRequest(`found '${token.text}', expected: !, identifier, or 'end of string'`);
    requirements.push(requirement());
    const after = take();
    if (after.type === "end") return requirements;
    if (after.text !== "," || after.type !== "operator")
      throw badRequest(`found '${after.text}', expected: ',' or 'end of string'`);
    const next = peek();
    if (next.type !== "id" && next.text !== "!")
      throw badRequest(`found '${next.text}', expected: identifier after ','`);
  }

  function requirement(): Requirement {
    const negated = peek().text === "!" && peek().type === "operator";
    if (negated) take();
    const { type, text: key } = take();
    if (type !== "id") throw error(`found '${key}', expected: identifier`);
    if (negated) return checked(key, "!", []);
    const after = peek();
    if (after.type === "end" || after.text === ",") return checked(key, "exists", []);
    const operator = operators[take().text];
    if (!operator) throw error(`found '${after.text}', expected: in, notin, =, ==, !=, gt, lt`);
    if (operator === "in" || operator === "notin") return checked(key, operator, valueSet());
    return checked(key, operator, [exactValue()]);
  }

  /** `(a,b,)`: an empty value between, before or after commas is the empty string. */
  function valueSet(): string[] {
    const open = take();
    if (open.text !== "(") throw error(`found '${open.text}' expected: '('`);
    const values = new Set<string>();
    if (peek().text === ")") {
      take();
      return [""];
    }
    for (;;) {
      const token = take();
      if (token.type === "id") {
        values.add(token.text);
        const after = take();
        if (after.text === ")" && after.type === "operator") return [...values];
        if (after.text !== ",") throw error(`found '${after.text}', expected: ',' or ')'`);
        if (peek().text === ")") values.add("");
      } else if (token.text === ",") {
        values.add("");
        if (peek().text === ")") values.add("");
      } else if (token.text === ")") return [...values];
      else throw error(`found '${token.text}', expected: ',', ')' or identifier`);
    }
  }

  function exactValue(): string {
    const token = peek();
    if (token.type === "end" || token.text === ",") return "";
    take();
    if (token.type !== "id") throw error(`found '${token.text}', expected: identifier`);
    return token.text;
  }
}

/** Makes a requirement, or throws when key or values have the wrong shape. */
type Check = (key: string, operator: Operator, values: string[]) => Requirement;

interface Token {
  type: "id" | "end" | "error" | "operator";
  text: string;
}

const symbols = new Set([")", ",", "!", "==", "=", ">", "<", "!=", "("]);
const isSymbol = (c: string | undefined) => c !== undefined && "=!(),><".includes(c);
const isSpace = (c: string | undefined) => c === " " || c === "\t" || c === "\r" || c === "\n";

const operators: Partial<Record<string, Operator>> = {
  in: "in",
  notin: "notin",
  "=": "=",
  "==": "==",
  "!=": "!=",
  ">": "gt",
  "<": "lt",
};

function scan(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    if (isSpace(text[at])) at++;
    else if (isSymbol(text[at])) {
      const two = text.slice(at, at + 2);
      const symbol = symbols.has(two) ? two : text[at]!;
      tokens.push({ type: "operator", text: symbol });
      at += symbol.length;
    } else {
      const start = at;
      while (at < text.length && !isSymbol(text[at]) && !isSpace(text[at])) at++;
      tokens.push({ type: "id", text: text.slice(start, at) });
    }
  }
  return tokens;
}
