/**
 * `npm run bench -- scale`: what things cost as there are more of them: keys, watchers and members of a store, ours beside
 * etcd; objects, nodes (hollow) and Services of a control plane. A curve each.
 */
import { defaultTimers, ourStore, storesFor } from "../members.ts";
import { chosen, runBench } from "../results.ts";
import { nodes, objects, services } from "./control-plane.ts";
import { keys, members, watchers } from "./store.ts";

export interface Scale {
  signal: AbortSignal;
  stores: ReturnType<typeof storesFor>;
  measureMs: number;
  rounds: number;
  /** One value of a store's curve at `n`. */
  point(store: string, n: number, metric: string, unit: string, value: number): void;
}

const axes = {
  keys: { measure: keys, sizes: [1_000, 10_000, 100_000, 1_000_000] },
  watchers: { measure: watchers, sizes: [10, 100, 1_000, 10_000] },
  members: { measure: members, sizes: [1, 3, 5, 7] },
  objects: { measure: objects, sizes: [100, 1_000, 10_000, 50_000] },
  nodes: { measure: nodes, sizes: [10, 100, 300, 1_000] },
  services: { measure: services, sizes: [10, 100, 1_000, 10_000] },
};
const names = Object.keys(axes) as (keyof typeof axes)[];

runBench({
  name: "scale",
  sections: names.map((name) => ({ title: name, keep: ({ id }) => id.startsWith(`${name}/`), over: name })),
  flags: {
    axes: { type: "strings", help: `some of ${names.join(", ")}` },
    most: { type: "number", default: 1_000_000, help: "leave out what is larger (--quick: 1,000)" },
    seconds: { type: "number", default: 1, help: "length of one measurement" },
    rounds: { type: "number", default: 3, help: "measurements at each point" },
  },
  async measure(run) {
    const { flags, signal, recorder } = run;
    const most = flags.quick ? Math.min(1000, flags.most) : flags.most;
    run.stores = storesFor(flags.only, defaultTimers);
    if (!run.stores.some(({ name }) => name === "ours")) run.stores = [...run.stores, ourStore(defaultTimers)];
    run.conditions.push(
      `${flags.rounds} measurements of ${flags.seconds} s at each point, the stores by turns; everything on this machine, fsync on`,
      "keys: values of 256 bytes, 100 requests in flight. watchers: of one key, on 10 streams, its event's way from the put's due time. members: puts at 100 and 1 in flight, PSS of all together",
      "objects: ConfigMaps of 1 KB over gRPC, below them and below nodes one member of ours. nodes: hollow, upstream's timings, two Pods each. services: without selector, one endpoint each; the proxy carries connections itself",
    );
    for (const name of chosen("axes", flags.axes, names)) {
      const { sizes, measure } = axes[name];
      const fitting = sizes.filter((n) => n <= most);
      const scale: Scale = {
        signal,
        stores: storesFor(flags.only, defaultTimers),
        measureMs: flags.seconds * 1000,
        rounds: flags.rounds,
        point(store, n, metric, unit, value) {
          const title = n.toLocaleString("en-US");
          recorder.addAll(store, `${name} ${title} ${store}`, [{ id: `${name}/${n}`, title, metric, unit, value }]);
        },
      };
      await recorder.attempt(signal, name, () => measure(scale, fitting.length > 0 ? fitting : [most]));
    }
  },
});
