import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "vitest";

/**
 * docs/conformance.md: which tests of upstream's conformance suite have a test of ours with exactly their name as its
 * title. `UPDATE=1 npx vitest run tools/conformance.test.ts` writes it.
 */
const rows = readFileSync("docs/conformance.tsv", "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"))
  .map((line) => line.split("\t") as [string, string, string, string]);

test("docs/conformance.md says which test stands for which of upstream's", () => {
  const files = ["api", "apiserver", "cli", "controllers", "lab"].flatMap((dir) =>
    readdirSync(dir, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".test.ts"))
      .map((name) => `${dir}/${name}`)
      .sort(),
  );
  const texts = files.map((file) => [file, readFileSync(file, "utf8")] as const);
  const shownBy = (name: string) =>
    texts.find(([, text]) => text.includes(`test("${name}"`) || text.includes(`)("${name}"`));
  const lines: string[] = [];
  let passed = 0;
  for (const [kind, sig, feature, name] of rows) {
    const file = shownBy(name)?.[0];
    if (kind === "P" && file) passed++;
    lines.push(`| ${sig} | ${feature} | ${name} | ${kind} | ${file ? `[${file}](../${file})` : "open"} |`);
  }
  const all = rows.filter(([kind]) => kind === "P").length;
  const text = `# Conformance

Made by \`UPDATE=1 npx vitest run tools/conformance.test.ts\`; do not edit. The tests of Kubernetes' conformance suite of
three SIGs, and the test of ours that has the same name and asks for the same behaviour. They are our own tests: upstream's
suite was not run. Of class P (API and controllers only) ${passed} of ${all} have one. R needs a process on a node, F its
files, N its network; these are open until the issues of node and network close them.

| SIG | Feature | Test | Class | Shown by |
|---|---|---|---|---|
${lines.join("\n")}
`;
  const path = "docs/conformance.md";
  if (process.env["UPDATE"]) writeFileSync(path, text);
  else assert.equal(readFileSync(path, "utf8"), text, "not current: run with UPDATE=1");
});
