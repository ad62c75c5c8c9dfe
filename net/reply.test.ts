import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { Reply } from "./reply.ts";

describe("a reply", () => {
  const heard: string[] = [];
  const listener = {
    resolve: (value: string) => heard.push(value),
    reject: (error: unknown) => heard.push(`no: ${error}`),
  };

  test.each<[string, (reply: Reply<string>) => unknown, string[]]>([
    ["tells its listener at once", (r) => [r.settle(listener), r.resolve("yes")], ["yes"]],
    ["tells one that comes later", (r) => [r.resolve("yes"), r.settle(listener)], ["yes"]],
    ["tells of a failure", (r) => [r.settle(listener), r.reject("broken")], ["no: broken"]],
    ["tells of a failure later", (r) => [r.reject("broken"), r.settle(listener)], ["no: broken"]],
    [
      "settles once",
      (r) => [r.settle(listener), r.resolve("first"), r.reject("second"), r.resolve("third")],
      ["first"],
    ],
  ])("%s", (_, use, expected) => {
    heard.length = 0;
    use(new Reply<string>());
    assert.deepEqual(heard, expected);
  });

  test("can be awaited like a promise", async () => {
    const good = new Reply<string>();
    const bad = new Reply<string>();
    setImmediate(() => {
      good.resolve("yes");
      bad.reject(new Error("broken"));
    });
    assert.equal(await good, "yes");
    await assert.rejects(bad.promise(), /broken/);
  });
});
