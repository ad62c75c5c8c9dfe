import { expect, test } from "vitest";
import { checkLinearizable, type RegisterOperation } from "./linearizable.ts";

/** "w a 1-2" writes a between 1 and 2, "r - 3-4" reads the empty register, "w b 5-" never answered. */
function history(...lines: string[]): RegisterOperation[] {
  return lines.map((line) => {
    const [kind, value, times] = line.split(" ") as [string, string, string];
    const [called, returned] = times.split("-") as [string, string];
    return {
      key: "k",
      kind: kind === "w" ? "write" : "read",
      value: value === "-" ? undefined : value,
      called: Number(called),
      returned: returned === "" ? undefined : Number(returned),
    };
  });
}

const cases: [string, string[], "ok" | "violation"][] = [
  ["nothing happened", [], "ok"],
  ["a read before any write finds nothing", ["r - 1-2", "w a 3-4"], "ok"],
  ["a read after a write finds it", ["w a 1-2", "r a 3-4"], "ok"],
  ["a read after a write does not find nothing", ["w a 1-2", "r - 3-4"], "violation"],
  ["a read during a write may find it", ["w a 1-4", "r a 2-3"], "ok"],
  ["a read during a write may miss it", ["w a 1-4", "r - 2-3"], "ok"],
  ["what one read has found, a later one does not miss", ["w a 1-6", "r a 2-3", "r - 4-5"], "violation"],
  ["writes at the same time take effect in either order", ["w a 1-4", "w b 2-3", "r b 5-6", "r b 7-8"], "ok"],
  ["and in one order only", ["w a 1-4", "w b 2-3", "r a 5-6", "r b 7-8"], "violation"],
  ["an old value does not come back", ["w a 1-2", "w b 3-4", "r a 5-6"], "violation"],
  ["a write without answer may have happened", ["w a 1-2", "w b 3-", "r b 4-5"], "ok"],
  ["a write without answer may happen late", ["w a 1-2", "w b 3-", "r a 4-5", "r b 6-7"], "ok"],
  ["a write without answer may never have happened", ["w a 1-2", "w b 3-", "r a 4-5"], "ok"],
  ["a write without answer happens once", ["w a 1-2", "w b 3-", "r b 4-5", "w c 6-7", "r b 8-9"], "violation"],
  ["a value nobody wrote is not read", ["w a 1-2", "r x 3-4"], "violation"],
];

test.each(cases)("%s", (_, lines, verdict) => {
  expect(checkLinearizable(history(...lines)).verdict).toBe(verdict);
});

test("registers are judged one by one", () => {
  const bad = history("w a 1-2", "r - 3-4").map((operation) => ({ ...operation, key: "other" }));
  expect(checkLinearizable([...history("w a 5-6"), ...bad])).toMatchObject({ verdict: "violation", key: "other" });
});

test("a search that takes too long is not a pass", () => {
  const writes = Array.from({ length: 20 }, (_, i) => `w v${i} ${i + 1}-${i + 100}`);
  expect(checkLinearizable(history(...writes, "r x 200-201"), 1000).verdict).toBe("unknown");
});

test("the message names the operation without place", () => {
  expect(checkLinearizable(history("w a 1-2", "w b 3-4", "r a 5-6"))).toMatchObject({
    message: "read of a [5, 6] has no place; the furthest order of operations leaves b before it",
  });
});
