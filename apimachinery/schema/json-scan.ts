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

/** What JSON.parse gives. Throws an Error in Go's words. */
export function parseJson(text: string, { error } = scanJson(text)): unknown {
  if (error) throw new Error(error);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Error(syntaxError(text));
  }
}

/** Go's message for text that JSON.parse refused. */
export function syntaxError(text: string): string {
  /** What ends the objects and lists that are open. */
  const open: string[] = [];
  let next: "value" | "first" | "key" | "colon" | "after" = "value";
  let at = 0;
  const wrong = (where: string): string => {
    const c = text[at];
    if (c === undefined) return endOfText;
    const shown = c === "'" ? "'\\''" : c === '"' ? "'\"'" : `'${JSON.stringify(c).slice(1, -1)}'`;
    return `invalid character ${shown} ${where}`;
  };
  for (;;) {
    while (" \n\r\t".includes(text[at] ?? "x")) at++;
    const c = text[at];
    const end: string | undefined = open.at(-1);
    const inObject: boolean = end === "}";
    if (next === "after" && end === undefined) return c === undefined ? endOfText : wrong("after top-level value");
    if ((next === "after" || next === "first") && c === end) {
      open.pop();
      next = "after";
      at++;
    } else if (next === "after") {
      if (c !== ",") return wrong(inObject ? "after object key:value pair" : "after array element");
      next = inObject ? "key" : "value";
      at++;
    } else if (next === "colon") {
      if (c !== ":") return wrong("after object key");
      next = "value";
      at++;
    } else {
      const isKey: boolean = next === "key" || (next === "first" && inObject);
      if (isKey && c !== '"') return wrong("looking for beginning of object key string");
      if (!isKey && open.length > maxDepth) return "exceeded max depth";
      next = isKey ? "colon" : "after";
      if (c === "{" || c === "[") {
        open.push(c === "{" ? "}" : "]");
        next = "first";
        at++;
      } else if (c === '"') {
        for (at++; text[at] !== '"'; at++) {
          if ((text[at] ?? "") < " ") return wrong("in string literal");
          if (text[at] === "\\" && !'"\\/bfnrtu'.includes(text[++at] ?? "x")) return wrong("in string escape code");
        }
        at++;
      } else if (c !== undefined && /[-\d]/.test(c)) {
        const number = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/.exec(text.slice(at, at + 400));
        at += number?.[0].length ?? 1;
        if (number === null) return wrong("in numeric literal");
      } else {
        const word = ["true", "false", "null"].find((one) => one[0] === c);
        if (word === undefined) return wrong("looking for beginning of value");
        for (const letter of word) {
          if (text[at] !== letter) return wrong(`in literal ${word} (expecting '${letter}')`);
          at++;
        }
      }
    }
  }
}

const endOfText = "unexpected end of JSON input";
