import type { ConfState } from "../../proto/generated/raftpb.ts";

/** One member as etcd's files know it. Name and client URLs are empty until it has published them. */
export interface MemberRecord {
  id: bigint;
  name: string;
  peerURLs: string[];
  clientURLs: string[];
  isLearner: boolean;
}

export type Membership = { members: MemberRecord[]; removedMembers: bigint[]; clusterVersion: string };

export const idText = (id: bigint): string => id.toString(16);

/** Bucket `members`. JSON numbers hold no 64-bit id, so the text is put together by hand. */
export const memberJSON = (member: MemberRecord): string =>
  `{"id":${member.id},${JSON.stringify({ ...raftAttributes(member), ...attributes(member) }).slice(1)}`;

export const memberFromJSON = (id: bigint, text: string): MemberRecord => ({ id, ...parseAttributes(text) });

const parseAttributes = (text: string): Omit<MemberRecord, "id"> => {
  const parsed = JSON.parse(text) as Partial<Omit<MemberRecord, "id">> | null;
  const { name = "", peerURLs = [], clientURLs = [], isLearner = false } = parsed ?? {};
  return { name, peerURLs: peerURLs ?? [], clientURLs: clientURLs ?? [], isLearner };
};

const raftAttributes = ({ peerURLs, isLearner }: Pick<MemberRecord, "peerURLs" | "isLearner">) => ({
  peerURLs,
  ...(isLearner ? { isLearner } : {}),
});

const attributes = ({ name, clientURLs }: Pick<MemberRecord, "name" | "clientURLs">) => ({
  ...(name ? { name } : {}),
  ...(clientURLs.length > 0 ? { clientURLs } : {}),
});

export function confStateJSON(state: ConfState): string {
  const ids = (name: string, list: bigint[]) => (list.length > 0 ? [`"${name}":[${list.join(",")}]`] : []);
  return `{${[
    ...ids("voters", state.voters),
    ...ids("learners", state.learners),
    ...ids("voters_outgoing", state.votersOutgoing),
    ...ids("learners_next", state.learnersNext),
    `"auto_leave":${state.autoLeave}`,
  ].join(",")}}`;
}

export function parseConfState(text: string): ConfState {
  const quoted = JSON.parse(text.replace(/\d+/g, '"$&"')) as Record<string, string[] | boolean | undefined>;
  const ids = (name: string) => ((quoted[name] as string[] | undefined) ?? []).map(BigInt);
  return {
    voters: ids("voters"),
    learners: ids("learners"),
    votersOutgoing: ids("voters_outgoing"),
    learnersNext: ids("learners_next"),
    autoLeave: quoted["auto_leave"] === true,
  };
}

/** A node of etcd's v2 store: a value, or children. */
interface Node {
  Path: string;
  CreatedIndex: number;
  ModifiedIndex: number;
  ExpireTime: string;
  Value: string;
  Children: Record<string, Node> | null;
}

/**
 * The v2 store as JSON, holding nothing but the membership: what 3.4 and 3.5 read it from.
 *
 *     /0/members/ID/{raftAttributes,attributes}   /0/removed_members/ID   /0/version   /1 (keys of v2 clients: none)
 *
 * Differs: `/0/version` is 3.4.0 whatever the cluster's, since 3.4 refuses to start below it; 3.5 raises it by itself, and
 * 3.6 reads it from the state file.
 */
export function v2Store({ members, removedMembers }: Membership): string {
  const Root = node("/", "", {});
  const put = (path: string, value: string, children: Node["Children"] = null) => {
    let at = Root;
    for (const name of path.slice(1).split("/")) {
      const under = `${at === Root ? "" : at.Path}/${name}`;
      at = at.Children![name] ??= under === path ? node(path, value, children) : node(under, "", {});
    }
  };
  put("/0/members", "", {});
  for (const member of members) {
    const path = `/0/members/${idText(member.id)}`;
    put(`${path}/raftAttributes`, JSON.stringify(raftAttributes(member)));
    if (member.name) put(`${path}/attributes`, JSON.stringify(attributes(member)));
  }
  for (const id of removedMembers) put(`/0/removed_members/${idText(id)}`, "removed");
  put("/0/version", v2ClusterVersion);
  put("/1", "", {});
  return JSON.stringify({ Root, CurrentIndex: 1, CurrentVersion: 2 });
}

/** Throws when the text is no v2 store. */
export function parseV2Store(text: string): Membership {
  const { Root } = JSON.parse(text) as { Root?: Node };
  const cluster = Root?.Children?.["0"]?.Children;
  if (!cluster) throw new Error("no v2 store with a membership");
  const id = (hex: string) => BigInt(`0x${hex}`);
  return {
    members: Object.entries(cluster["members"]?.Children ?? {}).map(([hex, { Children }]) => {
      const { peerURLs, isLearner } = parseAttributes(Children?.["raftAttributes"]?.Value ?? "null");
      const { name, clientURLs } = parseAttributes(Children?.["attributes"]?.Value ?? "null");
      return { id: id(hex), name, peerURLs, clientURLs, isLearner };
    }),
    removedMembers: Object.keys(cluster["removed_members"]?.Children ?? {}).map(id),
    clusterVersion: cluster["version"]?.Value ?? "",
  };
}

function node(Path: string, Value: string, Children: Node["Children"]): Node {
  return { Path, CreatedIndex: 1, ModifiedIndex: 1, ExpireTime: "0001-01-01T00:00:00Z", Value, Children };
}

const v2ClusterVersion = "3.4.0";
