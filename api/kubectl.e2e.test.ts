import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorText } from "../apimachinery/field-error.ts";
import type { KubernetesObject } from "../apimachinery/object.ts";
import { decodeBody } from "../apimachinery/schema/decode.ts";
import { peer } from "../tools/peers.ts";
import { resources } from "./resources.ts";
import { schema } from "./schema.ts";

/**
 * What real kubectls write is what the decoders read: objects printed by `--dry-run=client` decode strictly and are
 * valid, and what newer ones POST (protobuf since 1.32) is the same object. The server here only records bodies.
 */
const rows = new Map(resources().map((row) => [row.kind, row]));
const home = mkdtempSync(join(tmpdir(), "kubectl-"));

function kubectls(): string[] {
  const found = (process.env["PATH"] ?? "")
    .split(":")
    .map((folder) => join(folder, "kubectl"))
    .filter(existsSync)
    .flatMap((path) => {
      const folder = dirname(realpathSync(path));
      return readdirSync(folder)
        .filter((name) => /^kubectl\.1\.\d+$/.test(name))
        .map((name) => join(folder, name));
    });
  return [...new Set([...found, peer("kubectl")].filter((path) => path !== undefined))];
}

interface Recorded {
  contentType: string;
  body: Buffer;
}

const posts: Recorded[] = [];
let server: Server;

beforeAll(async () => {
  server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      if (request.method === "POST")
        posts.push({ contentType: request.headers["content-type"] ?? "", body: Buffer.concat(parts) });
      response.writeHead(404).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
  rmSync(home, { recursive: true, force: true });
});

async function run(kubectl: string, args: string[]): Promise<string> {
  const { port } = server.address() as AddressInfo;
  const all = ["--kubeconfig=/dev/null", `--server=http://127.0.0.1:${port}`, ...args];
  const { stdout } = await promisify(execFile)(kubectl, all, { env: { HOME: home, PATH: process.env["PATH"] } });
  return stdout;
}

const commands: [string, string[]][] = [
  ["Deployment", ["create", "deployment", "web", "--image=nginx:1", "--replicas=3", "--port=80"]],
  ["ConfigMap", ["create", "configmap", "m", "--from-literal=a=b"]],
  ["Secret", ["create", "secret", "generic", "s", "--from-literal=a=b"]],
  ["Namespace", ["create", "namespace", "n"]],
  ["ServiceAccount", ["create", "serviceaccount", "a"]],
  ["Service", ["create", "service", "clusterip", "s", "--tcp=80:8080"]],
];

const binaries = kubectls();

describe.skipIf(binaries.length === 0).each(binaries)("%s", (kubectl) => {
  test.each(commands)("its %s decodes strictly and is valid", async (kind, args) => {
    const row = rows.get(kind)!;
    const printed = await run(kubectl, [...args, "--dry-run=client", "-o", "json"]);
    const expected = { mediaType: "application/json", expected: row, validation: "Strict" } as const;
    const { object } = decodeBody(schema, Buffer.from(printed), expected);
    const given = structuredClone(object) as unknown as KubernetesObject;
    if (row.namespaced) given.metadata.namespace = "default";
    row.defaults(given);
    row.prepareForCreate(given);
    expect(row.validate(given).map(errorText)).toEqual([]);

    // Debian's (1.20) asks the server for its kinds before it posts; the others post at once.
    if (kubectl === peer("kubectl")) return;
    const before = posts.length;
    await run(kubectl, args).catch(() => {});
    const post = posts[before];
    expect(post).toBeDefined();
    const mediaType = post!.contentType.split(";")[0]!;
    const posted = decodeBody(schema, post!.body, { mediaType, expected: row, validation: "Strict" }).object;
    expect(withoutEmpty(posted)).toEqual(withoutEmpty(object));
  });
});

/** Go writes its empty structs, and a namespace only where there is a server. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, inner]) => [key, withoutEmpty(inner)] as const)
      .filter(([key, inner]) => key !== "namespace" && JSON.stringify(inner) !== "{}"),
  );
}
