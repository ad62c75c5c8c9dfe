import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ConfChange, ConfChangeError, type ConfState, changed, confOf, everybody, groupsOf } from "./conf.ts";
import { isQuorum } from "./quorum.ts";
import type { NodeId } from "./types.ts";

const id = fc.bigInt({ min: 1n, max: 6n });
const single = fc.record({ type: fc.constantFrom("AddVoter", "AddLearner", "Remove", "Update" as const), id });
const change: fc.Arbitrary<ConfChange> = fc.record({
  transition: fc.constantFrom("auto", "implicit", "explicit" as const),
  changes: fc.array(single, { maxLength: 4 }),
});

/** All configurations on the way, beginning with one voter; changes that do not fit are passed over. */
function walk(changes: ConfChange[]): ConfState[] {
  const confs = [confOf([1n])];
  for (const next of changes) {
    try {
      confs.push(changed(confs.at(-1)!, next));
    } catch (error) {
      if (!(error instanceof ConfChangeError)) throw error;
    }
  }
  return confs;
}

function subsets(ids: NodeId[]): NodeId[][] {
  return Array.from({ length: 2 ** ids.length }, (_, mask) => ids.filter((_, i) => mask & (1 << i)));
}

test("whatever is changed: quorums of a configuration and of the next share a member", () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 8 }), (changes) => {
      const confs = walk(changes);
      for (const [i, conf] of confs.entries()) {
        const next = confs[i + 1] ?? conf;
        const all = subsets([...new Set([...everybody(conf), ...everybody(next)])]);
        const quorumsOf = (c: ConfState) => all.filter((set) => isQuorum(groupsOf(c), (who) => set.includes(who)));
        const after = quorumsOf(next);
        for (const set of quorumsOf(conf))
          for (const other of after) expect(set.some((who) => other.includes(who))).toBe(true);
      }
    }),
    { numRuns: 50 },
  );
});

test("nobody is voter and learner at once, somebody votes, lists ascend, and who becomes a learner later votes till then", () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
      for (const { voters, learners, votersOutgoing, learnersNext, autoLeave } of walk(changes)) {
        expect(voters.length).toBeGreaterThan(0);
        for (const who of learners) expect([...voters, ...votersOutgoing]).not.toContain(who);
        for (const who of learnersNext) {
          expect(votersOutgoing).toContain(who);
          expect(voters).not.toContain(who);
        }
        if (votersOutgoing.length === 0)
          expect({ learnersNext, autoLeave }).toEqual({ learnersNext: [], autoLeave: false });
        for (const list of [voters, learners, votersOutgoing, learnersNext])
          expect(list).toEqual([...new Set(list)].sort((a, b) => Number(a - b)));
      }
    }),
  );
});

describe("a change", () => {
  const add = { type: "AddVoter", id: 4n } as const;
  const remove = { type: "Remove", id: 1n } as const;
  const leave: ConfChange = { transition: "auto", changes: [] };
  const three = confOf([1n, 2n, 3n]);

  test("of one voter takes one step, of several goes through a joint configuration that is left by itself", () => {
    expect(changed(three, { transition: "auto", changes: [add] })).toEqual(confOf([1n, 2n, 3n, 4n]));
    const joint = changed(three, { transition: "auto", changes: [add, remove] });
    expect(joint).toEqual({ ...confOf([2n, 3n, 4n]), votersOutgoing: [1n, 2n, 3n], autoLeave: true });
    expect(changed(joint, leave)).toEqual(confOf([2n, 3n, 4n]));
  });

  test("of nobody, of somebody unknown and of addresses changes nothing", () => {
    for (const type of ["AddVoter", "Remove"] as const)
      expect(changed(three, { transition: "auto", changes: [{ type, id: 0n }] })).toEqual(three);
    expect(changed(three, { transition: "auto", changes: [{ type: "Remove", id: 9n }] })).toEqual(three);
    expect(changed(three, { transition: "auto", changes: [{ type: "Update", id: 1n }] })).toEqual(three);
  });

  test.each<[string, ConfState, ConfChange]>([
    ["that leaves nobody to vote", confOf([1n], [2n]), { transition: "auto", changes: [remove] }],
    ["on top of a joint configuration", { ...three, votersOutgoing: [1n] }, { transition: "auto", changes: [add] }],
    ["that leaves where nothing is joint", three, leave],
  ])("%s does not fit", (_, conf, what) => {
    expect(() => changed(conf, what)).toThrow(ConfChangeError);
  });
});
