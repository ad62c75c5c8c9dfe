import fc from "fast-check";
import { expect, test } from "vitest";
import { committedIndex, quorum, voteResult } from "./quorum.ts";

const indexes = fc.array(fc.nat(20), { minLength: 1, maxLength: 9 });

test("the committed index is the highest one that more than half of the voters hold", () => {
  fc.assert(
    fc.property(indexes, (matched) => {
      const plain = Math.max(
        ...Array.from({ length: 21 }, (_, i) => i).filter(
          (i) => matched.filter((m) => m >= i).length * 2 > matched.length,
        ),
      );
      expect(committedIndex([...matched])).toBe(plain);
    }),
  );
});

test("any two quorums share a member, and a quorum minus one does not have that property", () => {
  for (let voters = 1; voters <= 9; voters++) {
    expect(2 * quorum(voters)).toBeGreaterThan(voters);
    expect(2 * (quorum(voters) - 1)).toBeLessThanOrEqual(voters);
  }
});

test("a vote is won with a quorum of grants, lost when none can come any more, and open otherwise", () => {
  const answers = fc.array(fc.option(fc.boolean()), { minLength: 1, maxLength: 9 });
  fc.assert(
    fc.property(answers, (given) => {
      const votes = new Map(given.flatMap((vote, i) => (vote === null ? [] : [[BigInt(i), vote] as const])));
      const majority = (n: number) => n * 2 > given.length;
      const granted = given.filter((vote) => vote === true).length;
      const possible = given.filter((vote) => vote !== false).length;
      const plain = majority(granted) ? "won" : majority(possible) ? "pending" : "lost";
      expect(voteResult(votes, given.length)).toBe(plain);
    }),
  );
});
