import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { parse } from "yaml";
import { writeCerts } from "./certs.ts";
import { writeKubeconfig } from "./kubeconfig.ts";
import { formatVersion, type LabFile, reconcileLab } from "./lab-file.ts";
import { labPaths } from "./paths.ts";
import { checkedRequest } from "./request.ts";

const lab: LabFile = { formatVersion, name: "x", mode: "host", slot: 7, members: 1, nodes: 0, preset: "lan" };

test("the API has the names that were asked for, and the kubeconfig leads to the balancer", async () => {
  const dir = mkdtempSync(join(tmpdir(), "names-"));
  try {
    const paths = labPaths(dir);
    const asked = checkedRequest({
      name: "x",
      tlsSans: ["*.lab.example", "192.0.2.7"],
      controlPlaneEndpoint: "api.example.org:8443",
      serviceDnsDomain: "lab.example.com",
    });
    const named = { ...lab, ...asked, store: undefined, mode: lab.mode, members: 1, nodes: 0, preset: lab.preset };
    await writeCerts(named, paths);
    writeKubeconfig(named, paths);
    const certificate = new X509Certificate(readFileSync(join(paths.certs, "apiserver.crt")));
    for (const name of ["kubernetes.default.svc.lab.example.com", "a.lab.example", "api.example.org"])
      assert.ok(certificate.checkHost(name), name);
    for (const ip of ["192.0.2.7", "127.107.0.221"]) assert.ok(certificate.checkIP(ip), ip);
    const { clusters } = parse(readFileSync(paths.kubeconfig, "utf8"));
    assert.equal(clusters[0].cluster.server, "https://api.example.org:8443");
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

const refused: [string, Partial<Parameters<typeof checkedRequest>[0]>, RegExp][] = [
  ["a name with a blank", { tlsSans: ["a b"] }, /--tls-sans takes DNS names and IP addresses, not "a b"/],
  [
    "an endpoint without a port",
    { controlPlaneEndpoint: "api" },
    /--control-plane-endpoint must be HOST:PORT, not "api"/,
  ],
  ["a range that is none", { serviceCidr: "10.1" }, /--service-cidr must be a range such as 10.96.0.0\/12, not "10.1"/],
  [
    "a range within",
    { serviceCidr: "10.96.0.1/16" },
    /must begin at its first address: 10.96.0.0\/16, not 10.96.0.1\/16/,
  ],
  ["a Service range without end", { serviceCidr: "10.0.0.0/8" }, /must have 4 to 1048576 addresses/],
  [
    "too few Pods",
    { podNetworkCidr: "10.50.0.0/24", nodes: 2 },
    /must have 512 to 16777216 addresses, 10.50.0.0\/24 has 256/,
  ],
  [
    "Pods among the Services",
    { podNetworkCidr: "10.100.0.0/16" },
    /--pod-network-cidr 10.100.0.0\/16 overlaps with --service-cidr 10.96.0.0\/12/,
  ],
  ["Services in the lab's network", { serviceCidr: "192.168.0.0/16" }, /overlaps with 192.168.77.0\/24, the lab's own/],
  ["ranges where the slot has them", { mode: "host", serviceCidr: "10.9.0.0/16" }, /need --mode netns/],
  [
    "a time to keep that is none",
    { keepRevisions: "1 day" },
    /--keep-revisions must be a duration such as 1h or 10m30s/,
  ],
  ["a domain with a blank", { serviceDnsDomain: "a b" }, /must be a DNS name such as cluster.local, not "a b"/],
  ["a port that there is not", { controlPlaneEndpoint: "api:70000" }, /must be HOST:PORT/],
];
for (const [name, asked, text] of refused)
  test(`refused: ${name}`, () => assert.throws(() => checkedRequest({ name: "x", ...asked }), text));

test("names are fixed for the life of a lab", () => {
  const named = { ...lab, tlsSans: ["a", "b"] };
  assert.deepEqual(reconcileLab(named, { name: "x", tlsSans: ["a", "b"] }), named);
  assert.throws(() => reconcileLab(named, { name: "x", tlsSans: ["c"] }), /was made with tlsSans a,b, which is fixed/);
});
