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
    });
    const named = { ...lab, tlsSans: asked.tlsSans, controlPlaneEndpoint: asked.controlPlaneEndpoint };
    await writeCerts(named, paths);
    writeKubeconfig(named, paths);
    const certificate = new X509Certificate(readFileSync(join(paths.certs, "apiserver.crt")));
    for (const name of ["kubernetes.default.svc", "a.lab.example", "api.example.org"])
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
  ["a port that there is not", { controlPlaneEndpoint: "api:70000" }, /must be HOST:PORT/],
];
for (const [name, asked, text] of refused)
  test(`refused: ${name}`, () => assert.throws(() => checkedRequest({ name: "x", ...asked }), text));

test("names are fixed for the life of a lab", () => {
  const named = { ...lab, tlsSans: ["a", "b"] };
  assert.deepEqual(reconcileLab(named, { name: "x", tlsSans: ["a", "b"] }), named);
  assert.throws(() => reconcileLab(named, { name: "x", tlsSans: ["c"] }), /was made with tlsSans a,b, which is fixed/);
});
