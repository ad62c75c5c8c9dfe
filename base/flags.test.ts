import assert from "node:assert/strict";
import { test } from "vitest";
import { FlagError, HelpRequest, parseFlags } from "./flags.ts";

const spec = {
  name: { type: "string", help: "who" },
  port: { type: "number", default: 10250, help: "where" },
  grace: { type: "duration", default: 40_000, help: "how long" },
  elect: { type: "boolean", default: true, help: "whether" },
  server: { type: "strings", help: "which" },
  extra: { type: "string", optional: true, help: "maybe" },
} as const;

test("flags are read as upstream writes them, with = or a space, and defaults fill in", () => {
  assert.deepEqual(
    parseFlags(spec, ["--name=a", "--grace", "1m1.5s", "--elect=false", "--server=x,y", "--server", "z"]),
    {
      name: "a",
      port: 10250,
      grace: 61_500,
      elect: false,
      server: ["x", "y", "z"],
      extra: undefined,
    },
  );
  assert.equal(parseFlags(spec, ["--name=a", "--elect"]).elect, true);
});

test.each([
  ["a required flag that is missing", [], /flag --name is required/],
  ["an unknown flag", ["--name=a", "--nane=b"], /'--nane'/],
  ["no number", ["--name=a", "--port=http"], /--port takes a number, not "http"/],
  ["an empty number", ["--name=a", "--port="], /--port takes a number/],
  ["no duration", ["--name=a", "--grace=40"], /--grace takes a duration such as 500ms or 4s, not "40"/],
  ["no truth value", ["--name=a", "--elect=yes"], /--elect takes true or false, not "yes"/],
  ["a word that is no flag", ["--name=a", "b"], /'b'/],
])("%s is one line that names it", (_, argv, message) => {
  assert.throws(
    () => parseFlags(spec, argv),
    (error: Error) => {
      assert.ok(error instanceof FlagError && !error.message.includes("\n"));
      assert.match(error.message, message);
      return true;
    },
  );
});

test("--help is the list of flags, not an error", () => {
  assert.throws(
    () => parseFlags(spec, ["--help"]),
    (error: Error) => {
      assert.ok(error instanceof HelpRequest);
      assert.match(error.message, /--port\s+where \(default 10250\)/);
      return true;
    },
  );
});
