import { expect, test } from "vitest";
import type { LabEvent } from "../deploy/supervisor/events.ts";
import { formatTimeline, timelineOf } from "./timeline.ts";

const event = (atMs: number, type: LabEvent["type"], subject: string, message: string): LabEvent => ({
  atMs,
  time: new Date(atMs).toISOString(),
  type,
  subject,
  message,
  monotonicMs: atMs,
  bootId: "b",
  details: {},
});

test("the timeline joins starts that follow one another and leaves out listeners", () => {
  const rows = timelineOf([
    event(41, "Info", "lab", "network and certificates are there"),
    event(50, "Spawned", "etcd-1", "etcd-raft"),
    event(52, "Spawned", "scheduler", "scheduler"),
    event(300, "Listening", "etcd-1", "127.100.0.201:2379"),
    event(920, "Ready", "store", "etcd-1 leads in term 2"),
    event(905, "Raft", "etcd-2", "votes for etcd-1 in term 2"),
    event(1000, "Exited", "scheduler", "exit code 1"),
    event(1100, "Spawned", "scheduler", "scheduler"),
  ]);
  expect(formatTimeline(rows)).toBe(
    [
      "     41 ms  network and certificates are there",
      "     50 ms  started etcd-1, scheduler",
      "    920 ms  store: etcd-1 leads in term 2",
      "   1000 ms  scheduler: exit code 1",
      "   1100 ms  started scheduler",
    ].join("\n"),
  );
});

test("with raft, what the members tell stands where it happened", () => {
  const rows = timelineOf(
    [
      event(920, "Ready", "store", "etcd-1 leads in term 2"),
      event(905, "Raft", "etcd-2", "votes for etcd-1 in term 2"),
    ],
    { raft: true },
  );
  expect(formatTimeline(rows)).toBe(
    ["    905 ms  etcd-2: votes for etcd-1 in term 2", "    920 ms  store: etcd-1 leads in term 2"].join("\n"),
  );
});
