import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { askFaults } from "../../base/faults.ts";
import type { Hands } from "../../lab/faults/desk.ts";
import { corrupt } from "../../lab/faults/files.ts";
import { type Deed, type Facts, keyOf } from "../../lab/faults/plan.ts";
import { Relay } from "../../lab/faults/relay.ts";
import { FaultRefused, type FaultReport, type HealReport } from "../../lab/faults/types.ts";
import { addressesOf, ports, relayOffset } from "../lab/addresses.ts";
import type { LabFile } from "../lab/lab-file.ts";
import { placesOf } from "../lab/network.ts";
import { faultSocket, type LabPaths } from "../lab/paths.ts";
import { isForeign, memberNames, nodeNames } from "../lab/processes.ts";
import type { World } from "../lab/world.ts";
import type { EventLog } from "./events.ts";
import type { ProcessManager } from "./process-manager.ts";

export interface FaultHandsOptions {
  lab: LabFile;
  paths: LabPaths;
  world: World;
  manager: ProcessManager;
  events: EventLog;
  leader(): Promise<string | undefined>;
  podCidrOf(node: string): string | undefined;
  pullPlug(node: string, processes: string[]): Promise<void>;
}

/** Does the deeds of faults in a lab (`lab/faults/plan.ts`), and undoes them. */
export class FaultHands implements Hands {
  readonly #options: FaultHandsOptions;
  readonly #relays = new Map<string, Relay[]>();
  readonly #children = new Map<string, ChildProcess[]>();

  constructor(options: FaultHandsOptions) {
    this.#options = options;
  }

  /** Before anything else: the members' addresses are theirs. */
  async startRelays(): Promise<void> {
    const { lab, manager } = this.#options;
    if (!lab.relay) return;
    const { inside } = addressesOf(lab);
    const diallers = () => manager.status().flatMap(({ name, pid }) => (pid === null ? [] : [[name, pid] as const]));
    for (const [i, member] of memberNames(lab).entries()) {
      const relays = [ports.client, ports.peer].map((port) => {
        const host = inside.member(i + 1);
        return Relay.start({ host, port: port + relayOffset }, { host, port }, diallers);
      });
      this.#relays.set(member, await Promise.all(relays));
    }
  }

  async facts(about: string): Promise<Facts> {
    const { lab, manager, leader, podCidrOf } = this.#options;
    const addresses = addressesOf(lab);
    const places = new Map(manager.places());
    const nodes = nodeNames(lab).map((name, i) => ({ name, ip: addresses.inside.node(i + 1) }));
    const ips = new Map([...placesOf(lab, addresses), ...nodes].map(({ name, ip }) => [name, ip]));
    return {
      mode: lab.mode,
      relayed: this.#relays.size > 0,
      processes: manager.names(),
      members: memberNames(lab),
      nodes: nodes.map(({ name }) => name),
      leader: /leader|follower/.test(about) ? await leader() : undefined,
      running: (name) => manager.status().some((each) => each.name === name && each.state === "Running"),
      placeOf: (process) => places.get(process)!,
      addressOf: (place) => ips.get(place)!,
      podCidrOf,
      noNftables: lab.mode === "netns" && about.includes("drop") ? await this.#noNftables() : undefined,
      freeMegabytes: Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"))![1]) / 1024,
    };
  }

  async act(deed: Deed): Promise<string | undefined> {
    const { manager, lab, paths, pullPlug } = this.#options;
    switch (deed.type) {
      case "Signal":
        return void (await manager.kill(deed.process, deed.signal));
      case "PullPlug":
        return void (await pullPlug(deed.node, deed.processes));
      case "Restart":
        await manager.stop([deed.process], graceMs);
        await manager.start(deed.process);
        return undefined;
      case "Hook": {
        const { pid, state } = manager.status().find(({ name }) => name === deed.process)!;
        if (pid === null) return `${deed.process} is down and takes it when it starts`;
        if (state === "Stopped") throw new Error(`${deed.process} is paused: its socket hooks do not answer`);
        if (isForeign(lab, deed.process))
          throw new FaultRefused(`${deed.process} is another program (${lab.store.binary}): it has no hooks for this`);
        await askFaults(faultSocket(lab.slot, deed.process), { set: keyOf(deed), fault: deed.fault });
        return undefined;
      }
      case "Relay":
        for (const { faults } of this.#relays.get(deed.member)!) faults.set(keyOf(deed), deed.fault);
        return;
      case "Unreach":
      case "Blackhole":
      case "Lose":
        return this.#run(deed.place, commandsOf(deed)[0]);
      case "Corrupt":
        return corrupt(join(paths.members, deed.member), deed.file, deed.at, deed.bits);
      case "Wipe":
        rmSync(join(paths.members, deed.member), { recursive: true, force: true });
        manager.addArgs(deed.member, ["--initial-cluster-state=existing"]);
        return undefined;
      case "Press":
        return this.#press(deed);
    }
  }

  async undo(deed: Deed): Promise<void> {
    const { manager, lab } = this.#options;
    switch (deed.type) {
      case "Signal":
        return manager.start(deed.process);
      case "PullPlug":
        await Promise.all(deed.processes.map((process) => manager.start(process)));
        return;
      case "Hook":
        // It ends with its process.
        await askFaults(faultSocket(lab.slot, deed.process), { clear: keyOf(deed) }).catch(() => {});
        return;
      case "Relay":
        for (const { faults } of this.#relays.get(deed.member)!) faults.clear(keyOf(deed));
        return;
      case "Unreach":
      case "Blackhole":
      case "Lose":
        return this.#run(deed.place, commandsOf(deed)[1]).catch(() => {}); // a place that was made anew has none
      case "Press":
        return this.#relieve(keyOf(deed));
    }
  }

  stamp = () => this.#options.events.stamp();

  tell(type: "Fault" | "Healed", report: FaultReport | HealReport): void {
    const { id, kind, targets, message } = report;
    this.#options.events.add(type, targets.join(", "), `${id} ${kind}: ${message}`, report);
  }

  /** With the lab: what runs in a node would end with it, what runs on the machine would not. */
  async close(): Promise<void> {
    for (const relay of [...this.#relays.values()].flat()) relay.close();
    await Promise.all([...this.#children.keys()].map((key) => this.#relieve(key)));
  }

  async #run(place: string, words: string): Promise<undefined> {
    const command = [...(await this.#options.world.enter(place)), ...words.split(" ")];
    await promisify(execFile)(command[0]!, command.slice(1));
  }

  async #noNftables(): Promise<string | undefined> {
    const { lab } = this.#options;
    try {
      await this.#run(memberNames(lab)[0]!, "nft list tables");
      return undefined;
    } catch (error) {
      const { code, stderr } = error as { code?: string; stderr?: string };
      const why = code === "ENOENT" || /No such file/.test(stderr ?? "") ? "nft is not installed" : stderr?.trim();
      return `packets cannot be dropped here: ${why}; \`stall\`, \`delay\` and \`partition\` work without it`;
    }
  }

  async #press(deed: Deed & { type: "Press" }): Promise<undefined> {
    if (this.#children.get(keyOf(deed))?.some(isAlive)) return;
    const prefix = await this.#options.world.enter(deed.place);
    const count = deed.what === "cpu" ? deed.amount : 1;
    const children = Array.from({ length: count }, () => {
      const script = deed.what === "cpu" ? burn : fill(deed.amount);
      const command = [...prefix, process.execPath, "-e", script];
      return spawn(command[0]!, command.slice(1), { stdio: ["pipe", "pipe", "ignore"] });
    });
    this.#children.set(keyOf(deed), children);
    await Promise.all(
      children.map(async (child) => {
        child.stdin.on("error", () => {});
        await Promise.race([once(child.stdout, "data"), once(child, "close")]);
        if (isAlive(child)) return;
        await this.#relieve(keyOf(deed));
        throw new Error(`cannot put ${deed.what} pressure on ${deed.place}: the process ended at once`);
      }),
    );
    return undefined;
  }

  async #relieve(key: string): Promise<void> {
    const children = this.#children.get(key) ?? [];
    this.#children.delete(key);
    await Promise.all(
      children.map(async (child) => {
        const closed = isAlive(child) && once(child, "close");
        child.stdin!.destroy(); // it ends with that
        await closed;
      }),
    );
  }
}

const isAlive = ({ exitCode, signalCode }: ChildProcess) => exitCode === null && signalCode === null;

const graceMs = 5000;
/** A hardware address that no interface of a lab has: frames to it reach everybody, and nobody takes them. */
const nobody = "02:00:00:00:0d:ed";

/** To do and to undo it, run in its place. */
function commandsOf(deed: Extract<Deed, { type: "Unreach" | "Blackhole" | "Lose" }>): [string, string] {
  if (deed.type === "Blackhole")
    return [`ip route replace blackhole ${deed.cidr}`, `ip route del blackhole ${deed.cidr}`];
  const to = `${deed.address} dev eth0`;
  if (deed.type === "Unreach") return [`ip neigh replace ${to} lladdr ${nobody} nud permanent`, `ip neigh del ${to}`];
  const table = `ip kubelab_${`${deed.address}_${deed.percent}`.replace(/\W/g, "_")}`;
  const chain = `add chain ${table} out { type filter hook postrouting priority 0 ; }`;
  const lost = `ip daddr ${deed.address} numgen random mod 10000 < ${Math.round(deed.percent * 100)} drop`;
  return [`nft add table ${table} ; ${chain} ; add rule ${table} out ${lost}`, `nft delete table ${table}`];
}

/** Both say a byte when they are at it, and end with stdin. */
const untilStdinEnds = "process.stdin.resume().on('close',()=>process.exit());process.stdout.write('.');";
const burn = `${untilStdinEnds}(function turn(){for(const end=Date.now()+50;Date.now()<end;);setImmediate(turn)})()`;
const fill = (megabytes: number) =>
  `const held=[];for(let i=0;i<${megabytes};i++)held.push(Buffer.alloc(1<<20,1));${untilStdinEnds}setInterval(()=>held.length,1e9)`;
