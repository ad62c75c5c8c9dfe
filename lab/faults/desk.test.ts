import { expect, test } from "vitest";
import { VirtualClock } from "../../client/testing/virtual-clock.ts";
import { FaultDesk } from "./desk.ts";
import { type Deed, type Facts, keyOf } from "./plan.ts";

/** A lab of three members that keeps what was done to it. */
function lab() {
  const done = new Set<string>();
  const told: string[] = [];
  const down = new Set<string>();
  let fails: (deed: Deed) => boolean = () => false;
  const members = ["etcd-1", "etcd-2", "etcd-3"];
  const facts: Facts = {
    ...{
      mode: "netns",
      relayed: false,
      processes: members,
      members,
      nodes: ["node-1"],
      leader: "etcd-1",
      noNftables: undefined,
      freeMegabytes: 1,
    },
    running: (name) => !down.has(name),
    placeOf: (name) => name,
    addressOf: (place) => place,
    podCidrOf: () => undefined,
  };
  const clock = new VirtualClock();
  const desk = new FaultDesk(
    {
      facts: async () => facts,
      async act(deed) {
        if (fails(deed)) throw new Error("no");
        if (deed.type === "Signal") down.add(deed.process);
        done.add(keyOf(deed));
        return undefined;
      },
      async undo(deed) {
        if (deed.type === "Signal") down.delete(deed.process);
        done.delete(keyOf(deed));
      },
      stamp: () => ({ atMs: 0, time: "", monotonicMs: clock.monotonic() }),
      tell: (type, { id }) => told.push(`${type} ${id}`),
    },
    clock,
    () => 7,
  );
  return { node: "node-1", desk, done, told, down, clock, failWhen: (when: typeof fails) => (fails = when) };
}

const cut = (peer: string) => ({ fault: "partition", target: "etcd-1", peer });

test("heal undoes one or all, the last first, and tells of each", async () => {
  const { desk, done, told } = lab();
  await desk.fault(cut("etcd-2"));
  await desk.fault(cut("etcd-3"));
  expect((await desk.heal("f1")).map(({ id }) => id)).toEqual(["f1"]);
  await desk.fault(cut("etcd-2"));
  expect((await desk.heal()).map(({ id }) => id)).toEqual(["f3", "f2"]);
  expect([...done]).toEqual([]);
  expect(told).toEqual(["Fault f1", "Fault f2", "Healed f1", "Fault f3", "Healed f3", "Healed f2"]);
  await expect(desk.heal("f1")).rejects.toThrow("no fault f1 is active; there are: none");
});

test("what two faults need stays until neither does", async () => {
  const { desk, done } = lab();
  await desk.fault(cut("etcd-2"));
  await desk.fault(cut("etcd-2,etcd-3"));
  await desk.heal("f2");
  expect(done.size).toBe(2);
  await desk.heal();
  expect(done.size).toBe(0);
});

test("one that fails half-way leaves nothing behind", async () => {
  const { desk, done, told, failWhen } = lab();
  failWhen((deed) => deed.type === "Unreach" && deed.place === "etcd-2");
  await expect(desk.fault(cut("etcd-2"))).rejects.toThrow("no");
  expect([[...done], told, await desk.list()]).toEqual([[], [], []]);
});

test("a killed process that was started by hand needs no healing", async () => {
  const { desk, down } = lab();
  await desk.fault({ fault: "kill", target: "etcd-1,etcd-2" });
  down.delete("etcd-1");
  expect(await desk.list()).toHaveLength(1);
  down.delete("etcd-2");
  expect(await desk.list()).toEqual([]);
});

test("one that was started by hand and is killed again comes back when that is healed", async () => {
  const { desk, down } = lab();
  await desk.fault({ fault: "kill", target: "etcd-1" });
  down.delete("etcd-1");
  await desk.fault({ fault: "kill", target: "etcd-1,etcd-2" });
  await desk.heal("f2");
  expect([...down]).toEqual([]);
});

test("a flap comes and goes, and is gone when it is healed", async () => {
  const { desk, done, clock } = lab();
  await desk.fault({ ...cut("etcd-2"), fault: "flap", onMs: 100, offMs: 50 });
  const seen: number[] = [];
  for (let i = 0; i < 6; i++) {
    seen.push(done.size);
    await clock.advance(50);
  }
  expect(seen).toEqual([2, 2, 0, 2, 2, 0]);
  await desk.heal();
  await clock.advance(1000);
  expect(done.size).toBe(0);
});

test("a member that is started again suffers what the one before did", async () => {
  const { desk, done } = lab();
  await desk.fault({ fault: "slow-disk", target: "etcd-1", ms: 5 });
  done.clear();
  await desk.reborn("etcd-2");
  expect(done.size).toBe(0);
  await desk.reborn("etcd-1");
  expect(done.size).toBe(1);
});

test("a node that is there again gets what is done to the place once, with its first process", async () => {
  const { desk, done, node } = lab();
  await desk.fault({ fault: "cpu-pressure", target: node, processes: 1 });
  done.clear();
  await desk.reborn(`${node}/agent`);
  expect(done.size).toBe(0);
  await desk.reborn(`${node}/runtime`);
  expect(done.size).toBe(1);
});
