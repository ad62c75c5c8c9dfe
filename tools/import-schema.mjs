// import-schema DIR: writes proto/etcd, proto/cri and proto/kubernetes from the schema facts (etcd-v3.6.json,
// cri-v1.json, kubernetes-v1.34.json) in DIR.
// Run once a version of upstream; from then on the .proto files are the source.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { importKubernetes } from "./import-kubernetes.mjs";

/** Random 64-bit ids and nanosecond stamps: beyond 2^53, so generated as bigint. Everything else is a safe number. */
const wide = {
  etcdserverpb: /^(cluster_id|member_id|ID|lease|leader|memberID|targetID|NodeID|ClusterID)$/,
  mvccpb: /^lease$/,
  leasepb: /^ID$/,
  raftpb: /^(to|from|vote|node_id|voters|learners|voters_outgoing|learners_next|id)$/,
  membershippb: /^(ID|member_ID)$/,
  v3electionpb: /^lease$/,
  v3lockpb: /^lease$/,
  "runtime.v1": /(_at|timestamp|_ns|nano_?seconds?)$/i,
};
const proto2 = new Set(["raftpb", "walpb", "snappb"]);

function importFile(dir, file, into) {
  const { packages } = JSON.parse(readFileSync(`${dir}/${file}`, "utf8"));
  mkdirSync(into, { recursive: true });
  for (const [pkg, content] of Object.entries(packages)) {
    if (!content.messages) continue;
    const text = renderPackage(pkg, content, Object.keys(packages));
    writeFileSync(`${into}/${pkg}.proto`, text);
  }
}

function renderPackage(pkg, content, packages) {
  const body = [];
  const used = new Set();
  const tree = new Map();
  const nodeOf = (path) => {
    let node = { children: tree };
    for (const part of path.split(".")) {
      if (!node.children.has(part)) node.children.set(part, { name: part, children: new Map() });
      node = node.children.get(part);
    }
    return node;
  };
  for (const [name, fields] of Object.entries(content.messages)) nodeOf(name).fields = fields;
  for (const [name, values] of Object.entries(content.enums ?? {})) nodeOf(name).values = values;
  const isWide = (name, type) => /^(u?int64|fixed64|sfixed64)$/.test(type) && wide[pkg]?.test(name);
  const render = (node, indent) => {
    if (node.values) {
      body.push(`${indent}enum ${node.name} {`);
      for (const [name, number] of Object.entries(node.values)) body.push(`${indent}  ${name} = ${number};`);
      body.push(`${indent}}`);
      return;
    }
    body.push(`${indent}message ${node.name} {`);
    for (const child of node.children.values()) render(child, `${indent}  `);
    const oneofs = new Map();
    const line = (name, f) => {
      for (const other of packages) if (f.t.startsWith(`${other}.`) && other !== pkg) used.add(other);
      const label = f.label === "repeated" ? "repeated " : proto2.has(pkg) && !f.oneof ? "optional " : "";
      return `${label}${f.t} ${name} = ${f.n}${isWide(name, f.t) ? " [(kubelab.bigint) = true]" : ""};`;
    };
    for (const [name, f] of Object.entries(node.fields ?? {})) {
      if (f.oneof) oneofs.set(f.oneof, [...(oneofs.get(f.oneof) ?? []), line(name, f)]);
      else body.push(`${indent}  ${line(name, f)}`);
    }
    for (const [name, lines] of oneofs)
      body.push(`${indent}  oneof ${name} {`, ...lines.map((l) => `${indent}    ${l}`), `${indent}  }`);
    body.push(`${indent}}`);
  };
  for (const node of tree.values()) render(node, "");
  for (const [service, rpcs] of Object.entries(content.services ?? {})) {
    body.push(`service ${service} {`);
    for (const [rpc, { request, response, clientStream, serverStream }] of Object.entries(rpcs))
      body.push(
        `  rpc ${rpc} (${clientStream ? "stream " : ""}${request}) returns (${serverStream ? "stream " : ""}${response});`,
      );
    body.push("}");
  }
  const imports = ["options", ...used].map((p) => `import "${p === "options" ? "../options" : p}.proto";`);
  return [`syntax = "${proto2.has(pkg) ? "proto2" : "proto3"}";`, `package ${pkg};`, ...imports, "", ...body, ""].join(
    "\n",
  );
}

const dir = process.argv[2];
if (!dir) throw new Error("usage: import-schema DIR");
importFile(dir, "etcd-v3.6.json", "proto/etcd");
importFile(dir, "cri-v1.json", "proto/cri");
importKubernetes(JSON.parse(readFileSync(`${dir}/kubernetes-v1.34.json`, "utf8")), "proto/kubernetes");
