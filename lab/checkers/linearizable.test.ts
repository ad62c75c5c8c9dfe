import { describe, expect, test } from "vitest";
import { seededRand } from "../../base/rand.ts";
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

/** By the definition: some order of some of those without an answer and all others. */
function isLinearizable(operations: readonly RegisterOperation[], value?: string): boolean {
  if (operations.every(({ returned }) => returned === undefined)) return true;
  const first = Math.min(...operations.map(({ returned = Number.POSITIVE_INFINITY }) => returned));
  return operations.some(
    (one) =>
      one.called <= first &&
      (one.kind === "write" || one.value === value) &&
      isLinearizable(
        operations.filter((other) => other !== one),
        one.value,
      ),
  );
}

describe("revisions", () => {
  /** Writes without answer around each read of one of them: a search has to guess which of them happened, and when. */
  const storm = (revisions: boolean): RegisterOperation[] =>
    Array.from({ length: 40 }, (_, i): RegisterOperation[] => {
      const at = (kind: "read" | "write", value: string, called: number, returned?: number) => ({
        key: "k",
        kind,
        value,
        called,
        returned,
        ...(revisions && { revision: i + 2, changed: kind === "write" }),
      });
      return [at("write", `v${i}`, i % 5), at("read", `v${i}`, 1000 + i * 10, 1400 + i * 10)];
    }).flat();

  test("settle what has no answer, where a search would not end", () => {
    expect(checkLinearizable(storm(false), 20_000).verdict).toBe("unknown");
    expect(checkLinearizable(storm(true), 0).verdict).toBe("ok");
  });

  test("that lie do not hide a violation", () => {
    for (const [, lines, verdict] of cases) {
      for (let seed = 1; seed <= 50; seed++) {
        const rand = seededRand(seed);
        const lies = history(...lines).map((one) => ({
          ...one,
          ...(rand.below(5) > 0 && { revision: rand.below(6) }),
          changed: rand.below(2) === 0,
        }));
        expect(checkLinearizable(lies).verdict).toBe(verdict);
      }
    }
  });

  test("of random histories, true or false, never change the verdict, which is the definition's", () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 3000; seed++) {
      const rand = seededRand(seed);
      const operations = Array.from({ length: 6 }, (_, i): RegisterOperation => {
        const write = rand.below(2) === 0;
        const called = rand.below(12);
        return {
          key: "k",
          kind: write ? "write" : "read",
          value: write
            ? rand.below(5) === 0
              ? undefined
              : `v${i}`
            : [undefined, "v0", "v1", "v2", "v3"][rand.below(5)],
          called,
          returned: write && rand.below(3) === 0 ? undefined : called + rand.below(9),
        };
      });
      const { verdict } = checkLinearizable(operations);
      expect(verdict).toBe(isLinearizable(operations) ? "ok" : "violation");
      const hinted = operations.map((one) => ({ ...one, revision: rand.below(4), changed: rand.below(2) === 0 }));
      expect(checkLinearizable(hinted).verdict).toBe(verdict);
      seen.add(`${verdict} ${checkLinearizable(hinted, 0).verdict}`);
    }
    expect([...seen].sort()).toEqual(["ok ok", "ok unknown", "violation unknown"]);
  });
});

test("the message names the operation without place", () => {
  expect(checkLinearizable(history("w a 1-2", "w b 3-4", "r a 5-6"))).toMatchObject({
    message: "read of a [5, 6] has no place; the furthest order of operations leaves b before it",
  });
});
