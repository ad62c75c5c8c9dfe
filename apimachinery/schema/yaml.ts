import { Composer, type CST, Lexer, LineCounter, Parser } from "yaml";

/** Levels of nesting. Differs: upstream takes 10,000; here what composes a document calls itself for each of them. */
const maxDepth = 250;

/**
 * The first document of a YAML text as JSON data, read as Go's YAML 1.1 does (yes, no, on and off are booleans, dates
 * stay strings). Anchors are expanded within limits. Throws an Error with the line.
 */
export function parseYaml(text: string): { value: unknown; duplicates: string[] } {
  const lines = new LineCounter();
  const composer = new Composer({
    version: "1.1",
    merge: true,
    uniqueKeys: true,
    customTags: (tags) => tags.filter((t) => typeof t === "string" || !/timestamp|binary|omap|pairs|set$/.test(t.tag)),
  });
  const document = composer.compose(tokensOf(text, lines)).next().value;
  if (!document) return { value: null, duplicates: [] };
  const duplicates: string[] = [];
  for (const error of document.errors) {
    const { line } = lines.linePos(error.pos[0]);
    if (error.code !== "DUPLICATE_KEY")
      throw new Error(`error converting YAML to JSON: yaml: line ${line}: ${error.message.split(" at line")[0]}`);
    const key = /^\s*["']?([^:"']*)/.exec(text.split("\n")[line - 1] ?? "")?.[1] ?? "";
    duplicates.push(`line ${line}: key ${JSON.stringify(key.trim())} already set in map`);
  }
  document.errors = [];
  try {
    return { value: document.toJS({ maxAliasCount: 100 }) as unknown, duplicates };
  } catch (error) {
    throw new Error(`error converting YAML to JSON: yaml: ${(error as Error).message}`);
  }
}

/**
 * The parser keeps the collections that are open on a stack of its own, so that their number is known before anything
 * recursive meets them: deep recursion ends the process when V8 compiles a regular expression in it.
 */
function* tokensOf(text: string, lines: LineCounter): Generator<CST.Token, void> {
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  for (const lexeme of new Lexer().lex(text)) {
    yield* parser.next(lexeme);
    if (parser.stack.length > maxDepth)
      throw new Error(`error converting YAML to JSON: yaml: exceeded max depth of ${maxDepth}`);
  }
  yield* parser.end();
}
