import { describe, expect, test } from "vitest";
import type { HistoryLine, KeyValue, Operation, Request, Response, WatchLine } from "./history.ts";
import { canonical, outcome } from "./history.ts";
import { judge } from "./judge.ts";
import { Model } from "./model.ts";

/**
 * A cluster that does everything right, one request after the other (the model itself), and its history; and then faults
 * in that history, each of which a checker must name.
 */
class Story {
  readonly lines: HistoryLine[] = [];
  readonly #model = new Model();
  #now = 0;
  #index = 0;

  /** Asks, and is answered as the model does. Returns the operation, to be falsified. */
  ask(request: Request, client = "c"): Operation {
    const called = ++this.#now;
    const reads = request.op === "range" || request.op === "keepalive";
    if (!reads) this.commit(request);
    const response = reads ? this.#model.read(request, this.#model.revision) : this.#answer;
    const operation: Operation = { type: "operation", client, member: "m0", called, returned: ++this.#now, request };
    if (response) operation.response = response;
    else operation.error = { code: 5, message: "refused" };
    this.lines.push(operation);
    return operation;
  }
  #answer: Response | undefined;

  commit(request?: Request): void {
    this.#answer = request && this.#model.execute(request);
    this.lines.push({ type: "commit", index: ++this.#index, term: 1, at: ++this.#now, ...(request && { request }) });
  }

  /** A watcher of `t` to `u` that hears of everything up to now, in one response a revision. */
  watch(from: number, falsify: (responses: Extract<WatchLine, { event: "events" }>[]) => void = () => {}): void {
    const head = { type: "watch" as const, watch: "w", member: "m0" };
    this.lines.push({ ...head, at: ++this.#now, event: "open", key: "t", end: "u", from, prevKv: true });
    this.lines.push({ ...head, at: ++this.#now, event: "created", revision: this.#model.revision });
    const responses = this.#model.events.flatMap((all, revision) => {
      const events = structuredClone(all.filter(({ kv }) => kv.key.startsWith("t")));
      if (revision < from || events.length === 0) return [];
      return [{ ...head, at: ++this.#now, event: "events" as const, revision, events }];
    });
    falsify(responses);
    this.lines.push(...responses);
  }

  watchLine(line: Partial<WatchLine>): void {
    this.lines.push({ type: "watch", watch: "w", member: "m1", at: ++this.#now, ...line } as WatchLine);
  }

  wait(ms: number): void {
    this.#now += ms;
  }
}

const put = (key: string, value: string, lease?: string): Request => ({
  op: "put",
  key,
  value,
  ...(lease && { lease }),
});
const get = (key: string): Request => ({ op: "range", key });
const all: Request = { op: "range", key: "t", end: "u" };
const swap: Request = {
  op: "txn",
  compare: [{ key: "t1", target: "value", result: "=", value: "a" }],
  success: [put("t1", "b"), put("t2", "c"), all],
  failure: [put("t3", "d")],
};

/** Something of everything, all of it right. */
function good(): Story {
  const story = new Story();
  story.commit(); // a leader's empty entry
  story.ask(put("t1", "a"));
  story.ask(swap);
  story.ask(get("t1"));
  story.ask(all);
  story.ask({ op: "grant", id: "7", ttl: 5 });
  story.ask(put("t4", "e", "7"));
  story.ask({ op: "delete", key: "t1", end: "t3", prevKv: true });
  story.ask({ op: "range", key: "t", end: "\0", revision: 3, limit: 1 });
  story.ask({ op: "compact", revision: 3 });
  story.ask({ op: "revoke", id: "7" });
  story.ask(put("r", "1"));
  story.ask(get("r"));
  story.lines.push({ type: "hash", member: "m0", point: "index 9", hash: "x" });
  story.lines.push({ type: "hash", member: "m1", point: "index 9", hash: "x" });
  return story;
}

test("what is right is not condemned", () => {
  const story = good();
  story.watch(2);
  expect(judge(story.lines, { settled: true })).toEqual([]);
  const read = story.lines.map((line) => JSON.parse(JSON.stringify(line)) as HistoryLine);
  expect(judge(read, { settled: true })).toEqual([]);
});

test("an operation without answer may have happened, or not", () => {
  const story = good();
  for (const happened of [true, false]) {
    const request = put("t9", `unknown ${happened}`);
    if (happened) story.commit(request);
    story.lines.push({ type: "operation", client: "c", member: "m0", called: happened ? 2 : 3, request });
  }
  story.ask(all);
  expect(judge(story.lines)).toEqual([]);
});

test("registers whose writes have no answer are settled by the log, however many they are", () => {
  const story = new Story();
  const silent = (request: Request, happens: boolean) => {
    const asked: Operation = { type: "operation", client: "c", member: "m0", called: 0, request };
    story.lines.push(asked);
    if (happens) story.commit(request);
  };
  for (let i = 0; i < 60; i++) {
    for (const n of [1, 2, 3]) silent(put("r", `${i}.${n}`), n > 1);
    silent({ op: "delete", key: "r" }, i % 3 === 0);
    story.ask(get("r"));
  }
  expect(judge(story.lines)).toEqual([]);
  const stale = story.lines.find((line) => line.type === "operation" && line.request.op === "range");
  story.ask(get("r")).response = (stale as Operation).response!;
  expect(judge(story.lines).join("\n")).toMatch(/stale answer: .*\nlinearizability: /);
});

test("codes that say nothing of the effect leave it open", () => {
  const ended = (error?: { code: number; message: string }): Operation => {
    const operation: Operation = { type: "operation", client: "c", member: "m", called: 1, request: all };
    return error ? { ...operation, returned: 2, error } : operation;
  };
  expect(outcome(ended())).toBe("unknown");
  for (const code of [1, 2, 4, 10, 13, 14, 15]) expect(outcome(ended({ code, message: "" }))).toBe("unknown");
  for (const code of [3, 5, 8, 9, 11]) expect(outcome(ended({ code, message: "" }))).toBe("failed");
});

test("empty fields mean what absent ones mean", () => {
  expect(canonical({ b: 1, a: "", c: [], lease: "0" })).toBe(canonical({ b: 1 }));
  expect(canonical({ value: "0" })).not.toBe(canonical({}));
});

const answer = (operation: Operation, response: Partial<KeyValue> & Record<string, unknown>) =>
  Object.assign(operation.response!, response);

const faults: [string, RegExp, (story: Story) => void][] = [
  [
    "a lost write: acknowledged, and not in the log",
    /^lost write: .*"t7".* was acknowledged at revision 99, but is not in the log$/,
    (story) => {
      const request = put("t7", "x");
      const response = { op: "put" as const, revision: 99 };
      story.lines.push({ type: "operation", client: "c", member: "m0", called: 90, returned: 91, request, response });
    },
  ],
  [
    "a double write: in the log twice",
    /^double write: .*"double".* is in the log 2 times$/,
    (story) => {
      story.ask(put("t7", "double"));
      story.commit(put("t7", "double"));
    },
  ],
  [
    "a phantom write: nobody asked for it",
    /^phantom write: nobody asked for .*"ghost"/,
    (s) => s.commit(put("t7", "ghost")),
  ],
  [
    "a write that is committed before it is asked for",
    /^phantom write: .*"early".* is committed before anybody asked for it$/,
    (story) => {
      story.commit(put("t7", "early"));
      story.lines.push({ type: "operation", client: "c", member: "m0", called: 999, request: put("t7", "early") });
    },
  ],
  [
    "a write that was refused and takes effect",
    /^refused write: .*"refused".* took effect all the same$/,
    (story) => {
      const operation = story.ask(put("t7", "refused"));
      delete operation.response;
      operation.error = { code: 5, message: "etcdserver: requested lease not found" };
    },
  ],
  [
    "a double apply: the next revision is one too high",
    /^wrong answer: .*"after".* was answered .*, not /,
    (story) => {
      const operation = story.ask(put("t7", "after"));
      answer(operation, { revision: operation.response!.revision! + 1 });
    },
  ],
  [
    "the wrong branch of a transaction",
    /^wrong answer: .*"txn".* was answered .*"succeeded":true.*, not .*"responses":\[\{"op":"put"\}\].*$/,
    (story) => answer(story.ask(swap), { succeeded: true }),
  ],
  [
    "a transaction that answers what it has not read",
    /^wrong answer: .*"txn"/,
    (story) => {
      story.ask(put("t1", "a"));
      const operation = story.ask({ ...swap, compare: [] } as Request);
      if (operation.response?.op === "txn") operation.response.responses.pop();
    },
  ],
  [
    "a deletion that does not count",
    /^wrong answer: .*"delete".* was answered .*"deleted":1/,
    (story) => answer(story.ask({ op: "delete", key: "nothing" }), { deleted: 1 }),
  ],
  [
    "a range that misses a key",
    /^wrong read: .* was answered /,
    (story) => {
      story.ask(put("t6", "y"));
      answer(story.ask(all), { kvs: [] });
    },
  ],
  [
    "a read of a revision that never came",
    /^wrong read: .* saw revision 77, which never came$/,
    (story) => answer(story.ask(all), { revision: 77 }),
  ],
  [
    "a read of what was compacted",
    /^wrong read: .*"revision":2.* was answered at revision \d+, when that was compacted$/,
    (story) => story.ask({ op: "range", key: "t1", revision: 2 }),
  ],
  [
    "a refusal of what was never compacted",
    /^wrong read: .*"revision":4.* was refused as compacted, but never was$/,
    (story) => {
      const operation = story.ask({ op: "range", key: "t1", revision: 4 });
      delete operation.response;
      operation.error = { code: 11, message: "etcdserver: mvcc: required revision has been compacted" };
    },
  ],
  [
    "a stale read of ranges: right once, too old now",
    /^stale answer: .* reports revision \d+, after .* had seen \d+$/,
    (story) => {
      const old = story.ask(all);
      story.ask(put("t8", "new"));
      story.ask(all).response = old.response!;
    },
  ],
  [
    "a stale read of a register",
    /^linearizability: violation of r: read of 1 \[\d+, \d+\] has no place/,
    (story) => {
      const old = story.ask(get("r"));
      story.ask(put("r", "2"));
      story.ask(get("r")).response = old.response!;
    },
  ],
  [
    "members that differ",
    /^unequal hashes: at index 9 m2 has y, m0 x$/,
    (story) => story.lines.push({ type: "hash", member: "m2", point: "index 9", hash: "y" }),
  ],
  [
    "a lease that ends early",
    /^short lease: 8 ends \d+ ms after a grant that gave it 5 s$/,
    (story) => {
      story.ask({ op: "grant", id: "8", ttl: 5 });
      story.wait(4000);
      story.commit({ op: "revoke", id: "8" });
    },
  ],
  [
    "a lease that ends although it was renewed",
    /^short lease: 8 ends \d+ ms after a keepalive that gave it 5 s$/,
    (story) => {
      story.ask({ op: "grant", id: "8", ttl: 5 });
      story.wait(4000);
      const renewal = story.ask({ op: "keepalive", id: "8" });
      delete renewal.error;
      renewal.response = { op: "keepalive", revision: 9, ttl: 5 };
      story.wait(4000);
      story.commit({ op: "revoke", id: "8" });
    },
  ],
  [
    "a skipped watch event",
    /^watch w: skipped event: does not hear of put of t1 at 2$/,
    (s) => s.watch(2, (r) => r.shift()),
  ],
  [
    "the last event never heard",
    /^watch w: skipped event: has not heard of delete of t4 at 6, and never does$/,
    (story) => story.watch(2, (responses) => responses.pop()),
  ],
  [
    "progress beyond an event not heard",
    /^watch w: skipped event: has not heard of delete of t4 at 6, but is told that it has everything up to 7$/,
    (story) => {
      story.watch(2, (responses) => responses.pop());
      story.watchLine({ event: "progress", revision: 7 });
    },
  ],
  [
    "a repeated watch event",
    /^watch w: repeated event: hears twice of put of t1 at 2$/,
    (story) => story.watch(2, (responses) => responses.splice(1, 0, responses[0]!)),
  ],
  [
    "an event before the first that was asked for",
    /^watch w: repeated event: hears twice of put of t1 at 3$/,
    (story) => {
      story.watchLine({ event: "open", key: "t", end: "u", from: 4 });
      story.watchLine({ event: "created", revision: 7 });
      const kv = { key: "t1", value: "b", create: 2, mod: 3, version: 2 };
      story.watchLine({ event: "events", revision: 7, events: [{ type: "put", kv }] });
    },
  ],
  [
    "a split revision",
    /^watch w: split revision: does not hear at once of 1 events at 3$/,
    (story) =>
      story.watch(2, (responses) => {
        const [first, second] = responses[1]!.events;
        const [head, tail] = [
          { ...responses[1]!, events: [first!] },
          { ...responses[1]!, events: [second!] },
        ];
        responses.splice(1, 1, head, tail);
      }),
  ],
  [
    "events of one response in the wrong order",
    /^watch w: (out of order|skipped event)/,
    (story) =>
      story.watch(2, (responses) => {
        const events = responses.flatMap((response) => response.events);
        responses.splice(0, responses.length, { ...responses.at(-1)!, events: [...events.slice(1), events[0]!] });
      }),
  ],
  [
    "a wrong value in an event",
    /^watch w: wrong event: hears .*"value":"z".*, not .*"value":"a"/,
    (story) => story.watch(2, (responses) => Object.assign(responses[0]!.events[0]!.kv, { value: "z" })),
  ],
  [
    "a wrong previous value",
    /^watch w: wrong event: hears .*"prev":\{"key":"t4","value":"z"/,
    (story) => story.watch(2, (responses) => Object.assign(responses.at(-1)!.events[0]!.prev!, { value: "z" })),
  ],
  [
    "an event before the watch is created",
    /^watch w: hears of an event before it is created$/,
    (story) => {
      story.watchLine({ event: "open", key: "t", end: "u", from: 2 });
      const kv = { key: "t1", value: "a", create: 2, mod: 2, version: 1 };
      story.watchLine({ event: "events", revision: 7, events: [{ type: "put", kv }] });
    },
  ],
  [
    "a watch that does not go on where it broke",
    /^watch w: resumes at 9 and not at 7$/,
    (story) => {
      story.watch(2);
      story.watchLine({ event: "closed" });
      story.watchLine({ event: "open", key: "t", end: "u", from: 9 });
    },
  ],
  [
    "a watch that is cancelled for a compaction that spares it",
    /^watch w: is cancelled at 7 for a compaction at 3$/,
    (story) => {
      story.watch(2);
      story.watchLine({ event: "canceled", compacted: 3 });
    },
  ],
];

describe("condemned is", () => {
  test.each(faults)("%s", (_, violation, happens) => {
    const story = good();
    happens(story);
    const violations = judge(story.lines, { settled: true });
    expect(violations.length).toBeGreaterThan(0);
    expect(
      violations.some((text) => violation.test(text)),
      violations.join("\n"),
    ).toBe(true);
  });
});

describe("a history that begins with a store in use", () => {
  const base: HistoryLine = {
    type: "base",
    index: 9,
    revision: 20,
    compacted: 5,
    kvs: [
      { key: "/registry/a", create: 3, mod: 7, version: 2 },
      { key: "t1", value: "before", create: 12, mod: 12, version: 1, lease: "77" },
    ],
    leases: ["77"],
  };
  const head = { type: "operation", client: "c", member: "m0" } as const;
  const lines = (): HistoryLine[] => [
    base,
    { type: "commit", index: 10, term: 2, request: { op: "put", key: "/registry/a", value: "" } },
    { type: "commit", index: 11, term: 2, request: put("t2", "x") },
    { type: "commit", index: 12, term: 2, request: { op: "revoke", id: "77" } },
    { ...head, called: 1, returned: 2, request: put("t2", "x"), response: { op: "put", revision: 22 } },
    {
      ...head,
      called: 3,
      returned: 4,
      request: { op: "range", key: "t", end: "u" },
      response: {
        op: "range",
        revision: 23,
        count: 1,
        kvs: [{ key: "t2", value: "x", create: 22, mod: 22, version: 1 }],
      },
    },
    {
      ...head,
      called: 5,
      returned: 6,
      request: { op: "range", key: "t", end: "u", revision: 15 },
      response: { op: "range", revision: 23, count: 0, kvs: [] },
    },
  ];
  const own = (key: string) => key >= "r";

  test("is judged from there on; what others write counts, and nobody knows what was before", () => {
    expect(judge(lines(), { own })).toEqual([]);
  });

  test("others' writes are phantoms where all keys are ours", () => {
    expect(judge(lines()).join()).toMatch(/phantom write: nobody asked for .*registry/);
  });

  test("a write of our own that nobody asked for is a phantom", () => {
    const history: HistoryLine[] = [...lines(), { type: "commit", index: 13, term: 2, request: put("t3", "y") }];
    expect(judge(history, { own }).join()).toMatch(/phantom write: nobody asked for .*t3/);
  });

  test("a write that is not in the log is lost", () => {
    const history = lines().filter((line) => line.type !== "commit" || line.index < 11);
    expect(judge(history, { own }).join()).toMatch(/lost write/);
  });
});
