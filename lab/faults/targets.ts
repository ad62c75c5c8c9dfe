import type { Rand } from "../../base/rand.ts";
import { FaultRefused } from "./types.ts";

/** What targets are looked up in. */
export interface Cast {
  /** All processes, as the supervisor calls them: `etcd-1`, `node-2/agent`. */
  processes: readonly string[];
  members: readonly string[];
  nodes: readonly string[];
  /** The member that leads now. */
  leader: string | undefined;
  rand: Rand;
}

/** `name`: as it was asked. `node`: a whole machine was meant, not its processes one by one. */
export interface Target {
  name: string;
  node: boolean;
  processes: string[];
}

/** Whom a text means: names of processes or nodes, and roles (the table below; a program: one, with an s all), with commas. */
export function targetsOf(text: string, cast: Cast): Target[] {
  const all = text.split(",").flatMap((word) => one(word.trim(), cast));
  return all.filter(({ name }, i) => all.findIndex((other) => other.name === name) === i);
}

function one(word: string, { processes, members, nodes, leader, rand }: Cast): Target[] {
  const drawn = (list: readonly string[]) => (list.length === 0 ? [] : [list[rand.below(list.length)]!]);
  const some = (count: number) => {
    const drawn = members.map((name) => ({ name, at: rand.next() })).sort((a, b) => a.at - b.at);
    return members.filter((name) => drawn.slice(0, count).some((one) => one.name === name));
  };
  const quorum = (members.length >> 1) + 1;
  const leading = (): string => {
    if (members.length === 0) throw new FaultRefused("the store runs elsewhere: no member of it is in this lab");
    if (leader === undefined) throw new FaultRefused("no member leads at the moment");
    return leader;
  };
  const followers = (without = leading()) => members.filter((name) => name !== without);
  const ofProgram = (program: string) =>
    processes.filter((name) => name === program || name.endsWith(`/${program}`) || isNumbered(name, program));
  const roles: Record<string, () => readonly string[]> = {
    leader: () => [leading()],
    follower: () => drawn(followers()),
    followers: () => followers(),
    random: () => drawn(members),
    members: () => members,
    minority: () => some(members.length - quorum),
    majority: () => some(quorum),
    node: () => drawn(nodes),
    nodes: () => nodes,
  };
  const named = (): readonly string[] => {
    if (Object.hasOwn(roles, word)) return roles[word]!();
    if (processes.includes(word) || nodes.includes(word)) return [word];
    const exact = ofProgram(word);
    return exact.length > 0 ? drawn(exact) : word.endsWith("s") ? ofProgram(word.slice(0, -1)) : [];
  };
  const names = named();
  if (names.length === 0)
    throw new FaultRefused(`no process is named ${word}; there are: leader, ${processes.join(", ")}`);
  return names.map((name) => {
    const node = nodes.includes(name);
    return { name, node, processes: node ? processes.filter((each) => each.startsWith(`${name}/`)) : [name] };
  });
}

const isNumbered = (name: string, program: string) =>
  name.startsWith(`${program}-`) && /^\d+$/.test(name.slice(program.length + 1));
