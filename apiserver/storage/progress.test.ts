import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { test } from "vitest";
import { hasReliableProgress, progressRequester } from "./progress.ts";

const versions: [string, boolean][] = [
  ["3.3.27", false],
  ["3.4.23", false],
  ["3.4.31", true],
  ["3.5.12", false],
  ["3.5.13", true],
  ["3.6.0-rc.1", true],
  ["4.0.0", true],
  ["unknown", false],
];
for (const [version, reliable] of versions)
  test(`progress requests of etcd ${version} ${reliable ? "can" : "cannot"} be relied on`, () =>
    assert.equal(hasReliableProgress(version), reliable));

test("the version is asked once; old stores get a write below the watched prefix instead of a request", async () => {
  for (const [version, expected] of [
    ["3.6.1", ["status", "progress", "progress"]],
    ["3.4.23", ["status", "/registry/progress", "/registry/progress"]],
  ] as const) {
    const calls: string[] = [];
    const request = progressRequester({
      status: async () => {
        calls.push("status");
        return { version } as never;
      },
      requestProgress: () => void calls.push("progress"),
      put: async ({ key }) => {
        calls.push(String(key));
        return {} as never;
      },
    });
    for (let i = 0; i < 2; i++) {
      request();
      await setImmediate();
    }
    assert.deepEqual(calls, expected);
  }
});
