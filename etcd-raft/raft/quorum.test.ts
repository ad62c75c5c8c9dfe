import fc from "fast-check";
import { expect, test } from "vitest";
import { committedIndex, isQuorum, quorum, voteResult } from "./quorum.ts";

const majority = (count: number, of: number) => count * 2 > of;

const indexes = fc.array(fc.nat(20), { minLength: 1, maxLength: 9 });

test("the committed index is the highest one that more than half of each group hold", () => {
  fc.assert(
    fc.property(fc.array(indexes, { minLength: 1, maxLength: 2 }), (groups) => {
      const held = (i: number) => groups.every((group) => majority(group.filter((m) => m >= i).length, group.length));
      const plain = Math.max(...Array.from({ length: 21 }, (_, i) => i).filter(held));
      expect(committedIndex(groups.map((group) => [...group]))).toBe(plain);
    }),
  );
});

test("any two quorums share a member, and a quorum minus one does not have that property", () => {
  for (let voters = 1; voters <= 9; voters++) {
    expect(2 * quorum(voters)).toBeGreaterThan(voters);
    expect(2 * (quorum(voters) - 1)).toBeLessThanOrEqual(voters);
  }
});

const ids = fc.uniqueArray(fc.bigInt({ min: 1n, max: 12n }), { minLength: 1, maxLength: 9 });
const groups = fc.array(ids, { minLength: 1, maxLength: 2 });

test("a vote is won with grants of more than half of each group, lost when that cannot come any more, and open otherwise", () => {
  const answers = fc.dictionary(fc.nat({ max: 12 }).map(String), fc.boolean());
  fc.assert(
    fc.property(groups, answers, (voters, given) => {
      const votes = new Map(Object.entries(given).map(([id, vote]) => [BigInt(id), vote]));
      const inAll = (counts: (vote: boolean | undefined) => boolean) =>
        voters.every((group) => majority(group.filter((id) => counts(votes.get(id))).length, group.length));
      const plain = inAll((vote) => vote === true) ? "won" : inAll((vote) => vote !== false) ? "pending" : "lost";
      expect(voteResult(votes, voters)).toBe(plain);
    }),
  );
});

test("a set is a quorum when more than half of each group are in it", () => {
  fc.assert(
    fc.property(groups, ids, (voters, set) => {
      const plain = voters.every((group) => majority(group.filter((id) => set.includes(id)).length, group.length));
      expect(isQuorum(voters, (id) => set.includes(id))).toBe(plain);
    }),
  );
});

test("nobody decides in a group without voters", () => {
  expect(voteResult(new Map([[1n, true]]), [[]])).toBe("lost");
  expect(committedIndex([[]])).toBe(0);
});
