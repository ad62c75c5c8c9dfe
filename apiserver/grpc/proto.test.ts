import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "vitest";

const folder = new URL("../../proto/kubelab/", import.meta.url);
const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".proto"));

/** Declarations without a comment of their own, above them or behind them. */
function undocumented(proto: string): string[] {
  const lines = proto.split("\n").map((line) => line.trim());
  const declares = /^(service|message|enum|rpc|oneof)\b|^[\w.<>, ]+ \w+ = \d+/;
  return lines.filter((line, i) => declares.test(line) && !/;\s*\/\/ \S/.test(line) && !/^\/\/ \S/.test(lines[i - 1]!));
}

test("a service, rpc, message, field, enum or value without a comment is found", () => {
  const proto = `
    // Told.
    service A {
      rpc Get (B) returns (B);
    }
    message B {
      // Told.
      string a = 1;
      repeated map<string, B> b = 2;
      oneof c {
        int64 d = 3; // told
      }
    }
    enum E {
      NONE = 0;
    }`;
  const found = undocumented(proto).map((line) => line.replace(/ [({=].*/, ""));
  assert.deepEqual(found, ["rpc Get", "message B", "repeated map<string, B> b", "oneof c", "enum E"]);
});

test.each(files)("everything in proto/kubelab/%s has a comment", (file) => {
  assert.deepEqual(undocumented(readFileSync(new URL(file, folder), "utf8")), []);
});
