import { expect, test } from "vitest";
import type { LabEvent } from "../deploy/supervisor/events.ts";
import { frame } from "./timeline-frame.ts";

const event = (
  atMs: number,
  type: LabEvent["type"],
  subject: string,
  message: string,
  details: object = {},
): LabEvent => ({
  ...{ atMs, time: new Date(atMs).toISOString(), monotonicMs: atMs, bootId: "b", type, subject, message },
  details,
});
const role = (atMs: number, member: string, to: string, term: number) =>
  event(atMs, "Raft", member, `is ${to}`, { kind: "RoleChanged", to, term });
const events = [
  role(0, "etcd-1", "leader", 2),
  role(0, "etcd-2", "follower", 2),
  event(4000, "Fault", "etcd-1", "f1 kill: SIGKILL sent", {
    id: "f1",
    kind: "kill",
    targets: ["etcd-1"],
    undo: "starts it",
  }),
  event(4001, "Exited", "etcd-1", "SIGKILL"),
  role(5000, "etcd-2", "candidate", 3),
  role(5500, "etcd-2", "leader", 3),
  event(8000, "Healed", "etcd-1", "f1", { id: "f1" }),
  event(8001, "Raft", "etcd-1", "started", { kind: "Started", term: 3 }),
];

test("lanes have roles and terms, faults stand above what they hit", () => {
  const lines = frame(events, 48, { nowMs: 10_000, spanMs: Infinity, colour: false }).split("\n");
  expect(lines.slice(0, 5)).toEqual([
    "                      ▼ kill etcd-1",
    "etcd-1 ◆2█████████████╳╳╳╳╳╳╳╳╳╳╳╳╳╳╳╳─────────",
    "etcd-2 ───────────────────▒▒◆3█████████████████",
    `       -10 s${"now".padStart(35)}`,
    "",
  ]);
  expect(lines.at(-1)).toBe("   8001 ms  etcd-1: started");
});

test("it is as wide as the terminal, and shows the last of a long time", () => {
  const lines = frame(events, 40, { nowMs: 10_000, spanMs: 3000, colour: false }).split("\n");
  expect(lines.every((line) => line.length <= 40)).toBe(true);
  expect(lines[2]).toMatch(/^etcd-2 █3█+$/);
});

test("before anything happened there is an empty axis", () => {
  expect(frame([], 40, { nowMs: 0, spanMs: Infinity })).toContain("now");
});
