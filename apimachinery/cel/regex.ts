import { RE2JS } from "@bufbuild/re2";
import { LRUCache } from "lru-cache";

/**
 * Where a regular expression in RE2's syntax matches: the library compiles it but only tests. Depth first over its program,
 * so that what comes first in the expression wins, and no state twice at one place, so that the time is bounded by
 * text x program. Source: swtch.com/~rsc/regexp/regexp2.html.
 */
const opcode = { alt: 1, altMatch: 2, capture: 3, emptyWidth: 4, match: 6, nop: 7 }; // those above are runes

const compiled = new LRUCache<string, RE2JS>({ max: 1000 });

export function compileRegex(pattern: string): RE2JS {
  const regex = compiled.get(pattern) ?? RE2JS.compile(pattern);
  compiled.set(pattern, regex);
  return regex;
}

/** All matches that do not overlap, at most `limit`; an empty one right behind another does not count, as in Go. */
export function findAll(pattern: string, text: string, limit = Number.POSITIVE_INFINITY): string[] {
  const regex = compileRegex(pattern);
  const found: string[] = [];
  for (let at = 0, lastEnd = -1; at <= text.length && found.length < limit; ) {
    const [start, end] = find(regex, text, at) ?? [];
    if (start === undefined || end === undefined) break;
    if (end > start || start !== lastEnd) found.push(text.slice(start, end));
    lastEnd = end;
    at = end > start ? end : end + ((text.codePointAt(end) ?? 0) > 0xffff ? 2 : 1);
  }
  return found;
}

function find(regex: RE2JS, text: string, from: number): [start: number, end: number] | undefined {
  const { prog } = regex.re2();
  const seen = new Set<number>();
  for (let start = from; start <= text.length; start++) {
    const threads: [pc: number, at: number][] = [[prog.start, start]];
    for (let next = threads.pop(); next !== undefined; next = threads.pop()) {
      const [pc, at] = next;
      const state = at * prog.numInst() + pc;
      if (seen.has(state)) continue;
      seen.add(state);
      const inst = prog.getInst(pc);
      const { op, out, arg } = inst;
      const rune = text.codePointAt(at);
      if (op === opcode.match) return [start, at];
      if (op === opcode.alt || op === opcode.altMatch) threads.push([arg, at], [out, at]);
      else if (op === opcode.capture || op === opcode.nop) threads.push([out, at]);
      else if (op === opcode.emptyWidth) {
        if ((arg & ~boundaries(text, at)) === 0) threads.push([out, at]);
      } else if (op > opcode.nop && rune !== undefined && inst.matchRune(rune))
        threads.push([out, at + (rune > 0xffff ? 2 : 1)]);
    }
  }
  return undefined;
}

/** What holds between two runes: begin and end of a line, of the text, a word boundary or none. */
function boundaries(text: string, at: number): number {
  const [before, after] = [text[at - 1], text[at]];
  const isWord = (char: string | undefined) => char !== undefined && /\w/.test(char);
  const holds = [before === undefined || before === "\n", after === undefined || after === "\n", before === undefined];
  const flags = [...holds, after === undefined, isWord(before) !== isWord(after), isWord(before) === isWord(after)];
  return flags.reduce((sum, flag, i) => sum | (flag ? 1 << i : 0), 0);
}
