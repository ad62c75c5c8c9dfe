/**
 * What JSON.parse does not tell: keys that stand twice in one object, and Go's words for broken JSON. One pass over the
 * text without building anything.
 */
export interface Scan {
  /** Paths (`spec.x`, `spec.containers[0].image`) and where in the text. */
  duplicates: { path: string; at: number }[];
  /** Where the keys of `wanted` stand. */
  positions: Map<string, number>;
  /** Go's syntax error, or undefined. */
  error: string | undefined;
}

export const maxDepth = 1000;
const maxDuplicates = 1000;

interface Frame {
  /** Undefined in lists. */
  keys: Keys | undefined;
  key: string;
  index: number;
}

/** Most objects are small, where looking through a list beats a set; hostile ones are not. */
class Keys {
  readonly #few: string[] = [];
  #many: Set<string> | undefined;

  /** False when it was there. */
  add(key: string): boolean {
    if (this.#many ? this.#many.has(key) : this.#few.includes(key)) return false;
    if (this.#many) this.#many.add(key);
    else if (this.#few.push(key) > 32) this.#many = new Set(this.#few);
    return true;
  }
}

/** Differs: nesting is refused from 1,000 levels on (upstream: 10,000), as V8 prints JSON recursively. */
export function scanJson(text: string, wanted?: ReadonlySet<string>): Scan {
  const duplicates: Scan["duplicates"] = [];
  const positions = new Map<string, number>();
  const frames: Frame[] = [];
  let top: Frame | undefined;
  const path = () => frames.map((f, i) => (f.keys ? (i === 0 ? f.key : `.${f.key}`) : `[${f.index}]`)).join("");
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case quote: {
        const end = stringEnd(text, at);
        if (end < 0) return { duplicates, positions, error: undefined };
        if (top?.keys && isKey(text, end)) {
          top.key = readKey(text, at, end);
          if (!top.keys.add(top.key) && duplicates.length < maxDuplicates) duplicates.push({ path: path(), at });
          if (wanted?.has(path()) && !positions.has(path())) positions.set(path(), at);
        }
        at = end - 1;
        break;
      }
      case openBrace:
      case openBracket:
        if (frames.length >= maxDepth) return { duplicates, positions, error: "exceeded max depth" };
        top = { keys: text.charCodeAt(at) === openBrace ? new Keys() : undefined, key: "", index: 0 };
        frames.push(top);
        break;
      case closeBrace:
      case closeBracket:
        frames.pop();
        top = frames[frames.length - 1];
        break;
      case comma:
        if (top) top.index++;
    }
  }
  return { duplicates, positions, error: undefined };
}

const quote = 34;
const comma = 44;
const colon = 58;
const openBracket = 91;
const backslash = 92;
const closeBracket = 93;
const openBrace = 123;
const closeBrace = 125;

function stringEnd(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    at = text.indexOf('"', at);
    if (at < 0) return -1;
    let slashes = 0;
    while (text.charCodeAt(at - 1 - slashes) === backslash) slashes++;
    if (slashes % 2 === 0) return at + 1;
  }
}

/** A string is a key when a colon follows. */
function isKey(text: string, end: number): boolean {
  let at = end;
  while (text.charCodeAt(at) <= 32) at++;
  return text.charCodeAt(at) === colon;
}

function readKey(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end - 1);
  return raw.includes("\\") ? safeString(text.slice(start, end)) : raw;
}

function safeString(quoted: string): string {
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return quoted;
  }
}

/** Go's message for text that JSON.parse refused. */
export function syntaxError(text: string): string {
  const state = new Syntax(text);
  try {
    state.value(0);
    state.space();
    if (!state.done) state.fail("after top-level value");
  } catch (error) {
    if (error instanceof SyntaxProblem) return error.message;
    throw error;
  }
  return "unexpected end of JSON input";
}

class SyntaxProblem extends Error {}

class Syntax {
  #at = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  get done(): boolean {
    return this.#at >= this.#text.length;
  }

  space(): void {
    while (" \n\r\t".includes(this.#text[this.#at] ?? "x")) this.#at++;
  }

  fail(where: string): never {
    const c = this.#text[this.#at];
    if (c === undefined) throw new SyntaxProblem("unexpected end of JSON input");
    const shown = c === "'" ? "'\\''" : c === '"' ? "'\"'" : `'${JSON.stringify(c).slice(1, -1)}'`;
    throw new SyntaxProblem(`invalid character ${shown} ${where}`);
  }

  value(depth: number): void {
    if (depth > maxDepth) throw new SyntaxProblem("exceeded max depth");
    this.space();
    const c = this.#text[this.#at];
    if (c === "{") this.#members(depth, "}");
    else if (c === "[") this.#members(depth, "]");
    else if (c === '"') this.#string();
    else if (c === "t") this.#literal("true");
    else if (c === "f") this.#literal("false");
    else if (c === "n") this.#literal("null");
    else if (c !== undefined && /[-\d]/.test(c)) this.#number();
    else this.fail("looking for beginning of value");
  }

  #members(depth: number, close: "}" | "]"): void {
    this.#at++;
    this.space();
    if (this.#text[this.#at] === close) {
      this.#at++;
      return;
    }
    for (;;) {
      if (close === "}") {
        this.space();
        if (this.#text[this.#at] !== '"') this.fail("looking for beginning of object key string");
        this.#string();
        this.space();
        if (this.#text[this.#at] !== ":") this.fail("after object key");
        this.#at++;
      }
      this.value(depth + 1);
      this.space();
      const c = this.#text[this.#at];
      if (c === close) {
        this.#at++;
        return;
      }
      if (c !== ",") this.fail(close === "}" ? "after object key:value pair" : "after array element");
      this.#at++;
    }
  }

  #string(): void {
    for (this.#at++; this.#text[this.#at] !== '"'; this.#at++) {
      const c = this.#text[this.#at];
      if (c === undefined || c < " ") this.fail("in string literal");
      if (c === "\\") {
        this.#at++;
        if (!'"\\/bfnrtu'.includes(this.#text[this.#at] ?? "x")) this.fail("in string escape code");
      }
    }
    this.#at++;
  }

  #literal(word: string): void {
    for (let i = 0; i < word.length; i++, this.#at++)
      if (this.#text[this.#at] !== word[i]) this.fail(`in literal ${word} (expecting '${word[i]}')`);
  }

  #number(): void {
    const match = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/.exec(this.#text.slice(this.#at, this.#at + 400));
    if (!match) {
      this.#at++;
      this.fail("in numeric literal");
    }
    this.#at += match[0].length;
  }
}
