import type { Operator, Requirement } from "./selectors.ts";
import { badRequest } from "./status.ts";

/** The text of a label selector, token by token: `app=web,tier in (a,b),!old`. Throws BadRequest in upstream's words. */
export class SelectorParser {
  readonly #tokens: Token[];
  readonly #checked: Check;
  #at = 0;

  constructor(text: string, checked: Check) {
    this.#tokens = scan(text);
    this.#checked = checked;
  }

  parse(): Requirement[] {
    const requirements: Requirement[] = [];
    for (;;) {
      const token = this.#peek();
      if (token.type === "end") return requirements;
      if (token.type !== "id" && token.text !== "!")
        throw badRequest(`found '${token.text}', expected: !, identifier, or 'end of string'`);
      requirements.push(this.#requirement());
      const after = this.#next();
      if (after.type === "end") return requirements;
      if (after.text !== "," || after.type !== "operator")
        throw badRequest(`found '${after.text}', expected: ',' or 'end of string'`);
      const next = this.#peek();
      if (next.type !== "id" && next.text !== "!")
        throw badRequest(`found '${next.text}', expected: identifier after ','`);
    }
  }

  #requirement(): Requirement {
    const negated = this.#peek().text === "!" && this.#peek().type === "operator";
    if (negated) this.#next();
    const { type, text: key } = this.#next();
    if (type !== "id") throw this.#error(`found '${key}', expected: identifier`);
    if (negated) return this.#checked(key, "!", []);
    const after = this.#peek();
    if (after.type === "end" || after.text === ",") return this.#checked(key, "exists", []);
    const operator = operators[this.#next().text];
    if (!operator) throw this.#error(`found '${after.text}', expected: in, notin, =, ==, !=, gt, lt`);
    if (operator === "in" || operator === "notin") return this.#checked(key, operator, this.#set());
    return this.#checked(key, operator, [this.#exactValue()]);
  }

  /** `(a,b,)`: an empty value between, before or after commas is the empty string. */
  #set(): string[] {
    const open = this.#next();
    if (open.text !== "(") throw this.#error(`found '${open.text}' expected: '('`);
    const values = new Set<string>();
    if (this.#peek().text === ")") {
      this.#next();
      return [""];
    }
    for (;;) {
      const token = this.#next();
      if (token.type === "id") {
        values.add(token.text);
        const after = this.#next();
        if (after.text === ")" && after.type === "operator") return [...values];
        if (after.text !== ",") throw this.#error(`found '${after.text}', expected: ',' or ')'`);
        if (this.#peek().text === ")") values.add("");
      } else if (token.text === ",") {
        values.add("");
        if (this.#peek().text === ")") values.add("");
      } else if (token.text === ")") return [...values];
      else throw this.#error(`found '${token.text}', expected: ',', ')' or identifier`);
    }
  }

  #exactValue(): string {
    const token = this.#peek();
    if (token.type === "end" || token.text === ",") return "";
    this.#next();
    if (token.type !== "id") throw this.#error(`found '${token.text}', expected: identifier`);
    return token.text;
  }

  #error = (message: string) => badRequest(`unable to parse requirement: ${message}`);

  #peek = (): Token => this.#tokens[this.#at] ?? { type: "end", text: "" };

  #next(): Token {
    const token = this.#peek();
    this.#at++;
    return token;
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
