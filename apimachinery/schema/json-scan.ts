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

const maxDepth = 1000;

interface Frame {
  keys: Set<string> | undefined;
  key: string;
  index: number;
}

/** Differs: nesting is refused from 1,000 levels on (upstream: 10,000), as V8 prints JSON recursively. */
export function scanJson(text: string, wanted?: ReadonlySet<string>): Scan {
  const duplicates: Scan["duplicates"] = [];
  const positions = new Map<string, number>();
  const frames: Frame[] = [];
  const path = () => frames.map((f, i) => (f.keys ? (i === 0 ? f.key : `.${f.key}`) : `[${f.index}]`)).join("");
  let at = 0;
  for (;;) {
    const c = text.charCodeAt(at);
    if (Number.isNaN(c)) break;
    if (c === 32 || c === 10 || c === 13 || c === 9 || c === 58) {
      at++;
    } else if (c === 34) {
      const end = stringEnd(text, at);
      if (end < 0) break;
      const frame = frames.at(-1);
      if (frame?.keys && isKey(text, end)) {
        const raw = text.slice(at + 1, end - 1);
        const key = raw.includes("\\") ? safeString(text.slice(at, end)) : raw;
        frame.key = key;
        if (frame.keys.has(key)) duplicates.push({ path: path(), at });
        else frame.keys.add(key);
        if (wanted) {
          const here = path();
          if (wanted.has(here) && !positions.has(here)) positions.set(here, at);
        }
      }
      at = end;
    } else if (c === 123 || c === 91) {
      if (frames.length >= maxDepth) return { duplicates, positions, error: "exceeded max depth" };
      frames.push({ keys: c === 123 ? new Set() : undefined, key: "", index: 0 });
      at++;
    } else if (c === 125 || c === 93) {
      frames.pop();
      at++;
    } else if (c === 44) {
      const frame = frames.at(-1);
      if (frame) frame.index++;
      at++;
    } else at++;
  }
  return { duplicates, positions, error: undefined };
}

function stringEnd(text: string, start: number): number {
  let at = start;
  for (;;) {
    at = text.indexOf('"', at + 1);
    if (at < 0) return -1;
    let slashes = 0;
    while (text.charCodeAt(at - 1 - slashes) === 92) slashes++;
    if (slashes % 2 === 0) return at + 1;
  }
}

/** A string is a key when a colon follows. */
function isKey(text: string, end: number): boolean {
  let at = end;
  while (" \n\r\t".includes(text[at] ?? "x")) at++;
  return text[at] === ":";
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
