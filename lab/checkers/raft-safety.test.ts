import { expect, test } from "vitest";
import { type LogEntry, RaftSafety } from "./raft-safety.ts";

/** "1 1 2" is a log whose entries have these terms; data says the same unless `data` is given. */
function log(terms: string, data = "x"): LogEntry[] {
  return terms
    .split(" ")
    .filter(Boolean)
    .map((term, i) => ({ index: i + 1, term: Number(term), data: new TextEncoder().encode(data) }));
}

function applyAll(safety: RaftSafety, member: bigint, entries: LogEntry[], term = 1): void {
  for (const entry of entries) safety.applies(member, entry, term);
}

test("a cluster that behaves has no violations", () => {
  const safety = new RaftSafety();
  safety.leads(1n, 1, log(""));
  applyAll(safety, 1n, log("1 1"));
  applyAll(safety, 2n, log("1"));
  safety.leads(2n, 2, log("1 1 1"));
  safety.restarts(1n);
  applyAll(safety, 1n, log("1 1 1 2"), 2);
  safety.logs([
    { member: 1n, log: log("1 1 1 2") },
    { member: 2n, log: log("1 1 1 2 2") },
    { member: 3n, log: log("1 1 3 3") }, // conflicts, but agrees nowhere after index 2
  ]);
  expect(safety.violations).toEqual([]);
});

const faults: [string, (safety: RaftSafety) => void][] = [
  [
    "election safety: 1 and 2 both lead term 4",
    (safety) => {
      safety.leads(1n, 4, log(""));
      safety.leads(2n, 4, log(""));
    },
  ],
  [
    "leader completeness: 2 leads term 2 without the committed entry 2 of term 1",
    (safety) => {
      applyAll(safety, 1n, log("1 1"));
      safety.leads(2n, 2, log("1"));
    },
  ],
  [
    "state machine safety: 2 applies 2 of term 2, another applied 2 of term 1",
    (safety) => {
      applyAll(safety, 1n, log("1 1"));
      applyAll(safety, 2n, log("1 2"));
    },
  ],
  [
    "state machine safety: 2 applies 1 of term 1, another applied 1 of term 1",
    (safety) => {
      applyAll(safety, 1n, log("1", "x"));
      applyAll(safety, 2n, log("1", "y"));
    },
  ],
  ["apply order: 1 applies 1 of term 1 after index 1", (safety) => applyAll(safety, 1n, [...log("1"), ...log("1")])],
  ["apply order: 1 applies 2 of term 1 after index 0", (safety) => applyAll(safety, 1n, log("1 1").slice(1))],
  [
    "log matching: 1 and 2 agree at 3 of term 2, but not at 2 of term 1",
    (safety) =>
      safety.logs([
        { member: 1n, log: log("1 1 2") },
        { member: 2n, log: log("1 2 2 2") },
      ]),
  ],
];

test.each(faults)("%s", (violation, happens) => {
  const safety = new RaftSafety();
  happens(safety);
  expect(safety.violations).toEqual([violation]);
});

test("a leader elected late, when others are past its term, need not have what they committed since", () => {
  const safety = new RaftSafety();
  applyAll(safety, 1n, log("1 3"), 3);
  safety.leads(2n, 2, log("1"));
  expect(safety.violations).toEqual([]);
});
