import { parseAllDocuments } from "yaml";

/**
 * The first document of a YAML text as JSON data, read as Go's YAML 1.1 does (yes, no, on and off are booleans, dates
 * stay strings). Anchors are expanded within limits. Throws an Error with the line.
 */
export function parseYaml(text: string): { value: unknown; duplicates: string[] } {
  const documents = parseAllDocuments(text, {
    version: "1.1",
    merge: true,
    uniqueKeys: true,
    customTags: (tags) => tags.filter((t) => typeof t === "string" || !/timestamp|binary|omap|pairs|set$/.test(t.tag)),
  });
  const document = Array.isArray(documents) ? documents[0] : undefined;
  if (!document) return { value: null, duplicates: [] };
  const duplicates: string[] = [];
  for (const error of document.errors) {
    const line = error.linePos?.[0].line ?? 0;
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
