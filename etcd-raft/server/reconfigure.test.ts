import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { GrpcError } from "../../net/grpc-error.ts";
import { checkAdd, checkPromote, checkRemove, type Health } from "./reconfigure.ts";

/**
 * A cluster in one word a member, the first being the one that is asked: `up` since long, `new` connected since a second, `down`,
 * `added` but never started; `learner`.
 */
function health(words: string): Health {
  const states = words.split(" ");
  const members = states.map((state, i) => ({
    id: BigInt(i + 1),
    name: state === "added" ? "" : `m${i + 1}`,
    peerURLs: [],
    clientURLs: [],
    isLearner: state === "learner",
  }));
  return {
    self: 1n,
    members: new Map(members.map((member) => [member.id, member])),
    connectedMs: (id) => ({ up: 60_000, learner: 60_000, new: 1000 })[states[Number(id) - 1]!],
  };
}

const ok = undefined;
const few = "re-configuration failed due to not enough started members";
const ill = "unhealthy cluster";

function outcome(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    assert.ok(error instanceof GrpcError);
    return error.message.replace("etcdserver: ", "");
  }
}

describe("adding a voter", () => {
  test.each([
    ["to one alone: a second could never come otherwise", "up", ok],
    ["to two, of which one never started", "up added", few],
    ["to two", "up up", ok],
    ["to two, of which one is down: two of three would hang on the new one", "up down", ill],
    ["to three", "up up up", ok],
    ["to three with one down: three of four would need the new one", "up up down", ill],
    ["to three just started", "up new new", ill],
    ["to five with one down: four of six are there", "up up up up down", ok],
    ["to five with two down", "up up up down down", ill],
    ["beside a learner, which does not count", "up up up learner", ok],
    ["to four, of which two never started", "up up added added", few],
  ])("%s", (_, words, expected) => {
    assert.equal(
      outcome(() => checkAdd(health(words), false)),
      expected,
    );
  });
});

describe("adding a learner", () => {
  test.each([
    ["to one that is not started is as good as anything", "added", ok],
    ["needs a majority that is connected, no more", "up up down", ok],
    ["and no less", "up down down", ill],
  ])("%s", (_, words, expected) => {
    assert.equal(
      outcome(() => checkAdd(health(words), true)),
      expected,
    );
  });
});

describe("removing the last of them", () => {
  test.each([
    ["that is down is always right", "up down down", ok],
    ["of three that are up", "up up up", ok],
    ["when another is down: one of two would not be enough", "up down up", ill],
    ["when another was just started", "up new up", ill],
    ["of two", "up up", ok],
    ["when too few of the others ever started", "up added added up", few],
    ["that is a learner costs no vote", "up down down learner", ok],
    ["that nobody knows is refused later, when it is applied", "up up up learner", ok],
  ])("%s", (_, words, expected) => {
    const all = health(words);
    assert.equal(
      outcome(() => checkRemove(all, BigInt(all.members.size))),
      expected,
    );
  });

  test("and of oneself, as the only one: nobody is left who ever started", () => {
    assert.equal(
      outcome(() => checkRemove(health("up"), 1n)),
      few,
    );
  });
});

describe("promoting", () => {
  const behind = "can only promote a learner member which is in sync with leader";
  test.each<[string, string, { leader: number; learner: number | undefined }, string | undefined]>([
    ["a learner with nearly all of the log", "up up learner", { leader: 100, learner: 90 }, ok],
    ["one that has less", "up up learner", { leader: 100, learner: 89 }, behind],
    ["one that the leader does not know", "up up", { leader: 100, learner: undefined }, "member not found"],
    ["where too few ever started", "up added added learner", { leader: 1, learner: 1 }, few],
    ["both: its log is looked at first", "up added added learner", { leader: 100, learner: 1 }, behind],
  ])("%s", (_, words, matched, expected) => {
    assert.equal(
      outcome(() => checkPromote(health(words), true, matched)),
      expected,
    );
  });
});
