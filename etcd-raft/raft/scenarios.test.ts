import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ScriptedCluster } from "./testing/scripted-cluster.ts";

/** Blocks of `# prose`, a command line, `----` and the expected output, with blank lines between. UPDATE=1 writes them. */
const dir = new URL("./testdata/", import.meta.url);

for (const file of readdirSync(dir)) {
  test(file, () => {
    const path = new URL(file, dir);
    const text = readFileSync(path, "utf8");
    const prose = text.slice(0, text.search(/^[^#]/m));
    expect(prose, "names what it pins down").toMatch(/§|Figure \d|etcd's|our (own )?rule/i);
    const cluster = new ScriptedCluster();
    const actual = parseScript(text).map(({ source, command, args }) =>
      command === undefined ? source : `${source}\n----\n${cluster.run(command, args)}`,
    );
    const result = `${actual.join("\n\n")}\n`;
    if (process.env["UPDATE"])
      writeFileSync(path, result); // then read the diff, line by line
    else expect(result).toBe(text);
  });
}

interface Block {
  source: string;
  command: string | undefined;
  args: string[];
}

function parseScript(text: string): Block[] {
  return text
    .trim()
    .split(/\n\n+/)
    .map((block) => {
      const source = block.split("\n----")[0]!;
      const line = source.split("\n").find((l) => !l.startsWith("#"));
      const [command, ...args] = line?.split(" ") ?? [];
      return { source, command, args };
    });
}
