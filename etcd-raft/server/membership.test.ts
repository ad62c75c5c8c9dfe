import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { StartError } from "../../base/process.ts";
import { ConfChange } from "../../proto/generated/raftpb.ts";
import { confOf } from "../raft/conf.ts";
import { encodeConfChange } from "../raft/testing/encode-conf-change.ts";
import { type InitialCluster, newMemberId } from "./cluster.ts";
import { assignIds, joinCluster } from "./join.ts";
import { confChange, firstEntries, labelOf, Membership, proposalOf } from "./membership.ts";

const member = (id: bigint, isLearner = false) => ({
  id,
  name: "",
  peerURLs: [`http://10.0.0.${id}:2380`],
  clientURLs: [],
  isLearner,
});

let index = 0;
const entry = (change: Parameters<typeof ConfChange.encode>[0]) => ({
  type: 1,
  term: 1,
  index: ++index,
  data: ConfChange.encode(change),
});

/** The error's text, or undefined when it took effect. */
function apply(membership: Membership, change: Parameters<typeof ConfChange.encode>[0]): string | undefined {
  const before = JSON.stringify([...membership.members.values()], (_, v: unknown) =>
    typeof v === "bigint" ? `${v}` : v,
  );
  try {
    membership.apply(entry(change));
    return undefined;
  } catch (error) {
    const after = JSON.stringify([...membership.members.values()], (_, v: unknown) =>
      typeof v === "bigint" ? `${v}` : v,
    );
    assert.equal(after, before, "what is refused changes nothing");
    return (error as Error).message.replace("etcdserver: ", "");
  }
}

function three(): Membership {
  const membership = new Membership();
  for (const first of firstEntries([1n, 2n, 3n].map((id) => member(id)))) membership.apply(first);
  return membership;
}

test("the entries' contexts are etcd's JSON", () => {
  const text = ({ context }: { context: Uint8Array }) => Buffer.from(context).toString();
  const big = { ...member(0xfedcba9876543210n, true), name: "a" };
  assert.equal(
    text(confChange.add(big)),
    `{"id":18364758544493064720,"peerURLs":["http://10.0.0.18364758544493064720:2380"],"isLearner":true,"name":"a"}`,
  );
  assert.equal(text(confChange.promote(5n)), `{"id":5,"peerURLs":null,"isPromote":true}`);
  assert.equal(
    text(confChange.update(member(5n, true), ["http://h:1"])),
    `{"id":5,"peerURLs":["http://h:1"],"isLearner":true}`,
  );
});

test("an id is of the peer URLs and the second: the same addresses make another member", () => {
  const urls = ["http://10.0.0.2:2380", "http://10.0.0.1:2380"];
  assert.equal(newMemberId(urls, 1000), newMemberId([urls[1]!, urls[0]!], 1999));
  assert.notEqual(newMemberId(urls, 1000), newMemberId(urls, 2000));
});

test("several changes go through a joint configuration: who leaves is a member until that is left", () => {
  const membership = three();
  const joint = { ...proposalOf([confChange.add(member(4n)), confChange.remove(1n)], 77n), term: 1, index: ++index };
  const { id } = labelOf(joint);
  membership.apply(joint);
  assert.equal(id, 77n);
  assert.deepEqual(membership.conf.votersOutgoing, [1n, 2n, 3n]);
  assert.deepEqual(membership.members.get(4n), member(4n));
  assert.deepEqual([...membership.members.keys()], [1n, 2n, 3n, 4n]);
  assert.equal(apply(membership, confChange.remove(2n)), "unhealthy cluster"); // one at a time
  const leave = { type: 2, data: new Uint8Array(0), term: 1, index: ++index };
  assert.equal(membership.leaves(1n, joint), false);
  assert.equal(membership.leaves(1n, leave), true);
  membership.apply(leave);
  assert.deepEqual(membership.conf, confOf([2n, 3n, 4n]));
  assert.deepEqual([...membership.removed], [1n]);
});

describe("a change", () => {
  test.each<[string, Parameters<typeof ConfChange.encode>[0], string | undefined]>([
    ["adds a member", confChange.add(member(4n)), undefined],
    ["that is there already", confChange.add(member(3n)), "member ID already exist"],
    [
      "at another's address",
      confChange.add({ ...member(4n), peerURLs: member(1n).peerURLs }),
      "Peer URLs already exists",
    ],
    ["removes one", confChange.remove(3n), undefined],
    ["removes nobody", confChange.remove(9n), "member not found"],
    ["moves one", confChange.update(member(3n), ["http://h:1"]), undefined],
    ["moves one to another's address", confChange.update(member(3n), member(1n).peerURLs), "Peer URLs already exists"],
    ["moves nobody", confChange.update(member(9n), ["http://h:1"]), "member not found"],
    ["promotes a voter", confChange.promote(3n), "can only promote a learner member"],
    ["promotes nobody", confChange.promote(9n), "member not found"],
  ])("%s", (_, change, expected) => {
    assert.equal(apply(three(), change), expected);
  });

  test("one learner at a time; it stays one when it moves, and votes when it is promoted", () => {
    const membership = three();
    assert.equal(apply(membership, confChange.add(member(4n, true))), undefined);
    assert.deepEqual(membership.conf, confOf([1n, 2n, 3n], [4n]));
    assert.equal(apply(membership, confChange.add(member(5n, true))), "too many learner members in cluster");
    // As an etcd before 3.6 writes it: without isLearner.
    assert.equal(apply(membership, confChange.update(member(4n), ["http://h:4"])), undefined);
    assert.deepEqual(membership.members.get(4n), { ...member(4n, true), peerURLs: ["http://h:4"] });
    assert.equal(apply(membership, confChange.promote(4n)), undefined);
    assert.deepEqual(membership.conf, confOf([1n, 2n, 3n, 4n]));
    assert.equal(membership.members.get(4n)!.isLearner, false);
  });

  test("an id that was removed is never used again", () => {
    const membership = three();
    assert.equal(apply(membership, confChange.remove(3n)), undefined);
    assert.equal(apply(membership, confChange.add(member(3n))), "member not found");
    assert.deepEqual(membership.conf, confOf([1n, 2n]));
  });

  test("of several at once, in the newer form of entries, goes through a joint configuration", () => {
    const membership = three();
    const change = encodeConfChange({
      transition: "auto",
      changes: [
        { type: "AddVoter", id: 4n },
        { type: "Remove", id: 1n },
      ],
    });
    const conf = membership.apply({ ...change, term: 1, index: 9 });
    assert.deepEqual(conf.votersOutgoing, [1n, 2n, 3n]);
    membership.apply({ type: 2, term: 1, index: 10, data: new Uint8Array(0) });
    assert.deepEqual(membership.conf, confOf([2n, 3n, 4n]));
    assert.deepEqual([...membership.members.keys()].sort(), [2n, 3n, 4n]);
  });
});

describe("who joins", () => {
  const named = (id: bigint, name: string) => ({ ...member(id), name });
  const local: InitialCluster = {
    clusterId: 1n,
    members: [named(1n, "a"), named(2n, "b")],
    self: named(2n, "b"),
  };
  const refused = (pattern: RegExp) => (error: Error) =>
    error instanceof StartError && pattern.test(error.message) && !error.message.includes("\n");

  test("takes its id and the cluster's from the others, by its peer URLs", () => {
    const running = {
      clusterId: 7n,
      members: [
        { ...member(1n), id: 11n },
        { ...member(2n, true), id: 12n },
      ],
    };
    const { clusterId, self, members } = assignIds(local, running);
    assert.deepEqual([clusterId, self.id, self.name, self.isLearner], [7n, 12n, "b", true]);
    assert.deepEqual(
      members.map(({ id }) => id),
      [11n, 12n],
    );
  });

  test("with flags that do not fit the cluster is told which", () => {
    const running = (...members: ReturnType<typeof member>[]) => ({ clusterId: 7n, members });
    assert.throws(
      () => assignIds(local, running(member(1n))),
      refused(
        /^error validating peerURLs \{a=http.*\}: member count is unequal: --initial-cluster has 2, the cluster 1$/,
      ),
    );
    assert.throws(
      () => assignIds(local, running(member(1n), member(3n))),
      refused(/: PeerURLs: no match found for existing member \(3, http:\/\/10\.0\.0\.3:2380\)$/),
    );
  });

  test("asks all the others: one that lags behind may not know it yet", async () => {
    const wide = { ...local, members: [...local.members, named(3n, "c")] };
    const asked: string[] = [];
    const joined = await joinCluster(wide, async (url) => {
      asked.push(url);
      const members = [member(1n), member(2n), member(3n)];
      return { clusterId: 7n, members: asked.length === 1 ? members.slice(0, 1) : members };
    });
    assert.deepEqual(asked, ["http://10.0.0.1:2380", "http://10.0.0.3:2380"]);
    assert.equal(joined.self.id, 2n);
  });

  test("and finds nobody is told so", async () => {
    await assert.rejects(
      joinCluster(local, () => Promise.reject(new Error("connect ECONNREFUSED"))),
      refused(/^cannot fetch cluster info from peer urls http:\/\/10\.0\.0\.1:2380: connect ECONNREFUSED$/),
    );
  });
});
