import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { afterEach, beforeEach, describe, test } from "vitest";
import { type Authority, createAuthority, type KeyPair } from "../pki/authority.ts";
import { revocationList } from "../pki/testing.ts";
import { dialTls, TlsFilesSource, type TlsRules, tlsAcceptor } from "./tls-source.ts";

/** A server on files that change, and clients whose certificate it wants. */
describe("TLS files that change", () => {
  let dir: string;
  let authority: Authority;
  let listener: net.Server;
  let lines: { fields: { reason?: string }; msg: string }[];
  let refused: string[];
  const write = (name: string, content: string) => writeFileSync(join(dir, name), content);
  const put = (name: string, { cert, key }: KeyPair) => {
    write(`${name}.crt`, cert);
    write(`${name}.key`, key);
  };
  const issue = (commonName: string, by = authority, dnsNames: string[] = []) =>
    by.issue({ commonName, dnsNames, ipAddresses: ["127.0.0.1"], usages: ["client", "server"] });
  const source = (name: string, rules: TlsRules = {}, crl?: string) => {
    const files = { cert: join(dir, `${name}.crt`), key: join(dir, `${name}.key`), ca: join(dir, "ca.crt") };
    const log = { info: (fields: object, msg: string) => lines.push({ fields, msg }) };
    return new TlsFilesSource({ ...files, crl: crl && join(dir, crl) }, rules, { ...log, warn: log.info });
  };
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), "tls-"));
    lines = [];
    refused = [];
    authority = await createAuthority("ca");
    write("ca.crt", authority.cert);
    put("server", await issue("server"));
    put("client", await issue("client"));
  });
  afterEach(() => {
    listener?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  async function serve(from: TlsFilesSource): Promise<void> {
    const begin = tlsAcceptor(
      from,
      { requestCert: true, rejectUnauthorized: true },
      {
        accept: (socket) => socket.end(socket.getPeerCertificate().subject.CN),
        refused: (_socket, reason) => refused.push(reason),
      },
    );
    listener = net.createServer((socket) => begin(socket.on("error", () => {})));
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  }

  /** Who the server says we are, and who it is. */
  function dial(
    from: TlsFilesSource,
    session?: Buffer,
  ): Promise<{ us: string; them: string; resumed: boolean; session: Buffer }> {
    const to = { host: "127.0.0.1", port: (listener.address() as AddressInfo).port };
    return new Promise((resolve, reject) => {
      const socket = session
        ? tls.connect({ ...to, ...from.options(), session, checkServerIdentity: () => undefined })
        : dialTls(from, to);
      let us = "";
      let them = "";
      let resumed = false;
      let ticket: Buffer = Buffer.alloc(0);
      socket.on("session", (bytes) => {
        ticket = bytes;
      });
      socket.once("secureConnect", () => {
        resumed = socket.isSessionReused();
        them = socket.getPeerCertificate().subject?.CN ?? "";
      });
      socket.on("data", (chunk) => {
        us += chunk;
      });
      socket.on("error", reject);
      socket.on("close", () => (us ? resolve({ us, them, resumed, session: ticket }) : reject(new Error("refused"))));
    });
  }

  test("a new certificate is shown to the next connection, and the next dial shows it", async () => {
    const [server, client] = [source("server"), source("client")];
    await serve(server);
    assert.deepEqual(pick(await dial(client)), { us: "client", them: "server" });
    put("server", await issue("server-2"));
    put("client", await issue("client-2"));
    assert.deepEqual(pick(await dial(client)), { us: "client-2", them: "server-2" });
    assert.equal(lines.length, 2);
    assert.match(lines[0]!.msg, /Reloaded the TLS files/);
  });

  test("what hangs behind a symlink that moves is seen", async () => {
    for (const version of ["v1", "v2"]) put(`server-${version}`, await issue(version));
    for (const kind of ["crt", "key"]) {
      unlinkSync(join(dir, `server.${kind}`));
      symlinkSync(`server-v1.${kind}`, join(dir, `server.${kind}`));
    }
    const client = source("client");
    await serve(source("server"));
    assert.equal((await dial(client)).them, "v1");
    for (const kind of ["crt", "key"]) {
      symlinkSync(`server-v2.${kind}`, join(dir, `next.${kind}`));
      renameSync(join(dir, `next.${kind}`), join(dir, `server.${kind}`));
    }
    assert.equal((await dial(client)).them, "v2");
  });

  for (const [name, spoil] of [
    ["half of a certificate", (next: KeyPair) => write("server.crt", next.cert.slice(0, 200))],
    ["a certificate without its key", (next: KeyPair) => write("server.crt", next.cert)],
    ["an empty key", () => write("server.key", "")],
    ["a file that is gone", () => unlinkSync(join(dir, "server.key"))],
    [
      "an authority that is none",
      () => write("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ],
  ] as [string, (next: KeyPair) => void][]) {
    test(`${name}: the old one goes on, one line says so, and a whole one is taken`, async () => {
      const client = source("client");
      const next = await issue("server-2");
      await serve(source("server"));
      client.options();
      const frozen = { ...client.options() };
      client.options = () => frozen; // of this test only the server's files change
      client.version = () => 0;
      spoil(next);
      assert.equal((await dial(client)).them, "server");
      assert.equal((await dial(client)).them, "server");
      assert.deepEqual(
        lines.map(({ msg }) => msg),
        ["Cannot use the changed TLS files, keeping what was there"],
      );
      assert.ok(lines[0]!.fields.reason);
      put("server", next);
      write("ca.crt", authority.cert);
      assert.equal((await dial(client)).them, "server-2");
    });
  }

  test("a new authority counts for the next connection, also against a session of before", async () => {
    const client = source("client");
    await serve(source("server"));
    const { session } = await dial(client);
    assert.equal((await dial(client, session)).resumed, true);
    const other = await createAuthority("other");
    const options = { ...client.options() };
    client.options = () => options;
    client.version = () => 0;
    write("ca.crt", other.cert);
    await assert.rejects(dial(client));
    await assert.rejects(dial(client, session));
    assert.equal(refused.length, 2);
  });

  test("a certificate that is revoked is refused from then on, resumed or not", async () => {
    write("crl.pem", await revocationList(authority, []));
    const client = source("client");
    await serve(source("server", {}, "crl.pem"));
    const { session } = await dial(client);
    write("crl.pem", await revocationList(authority, [readFileSync(join(dir, "client.crt"), "utf8")]));
    await assert.rejects(dial(client));
    await assert.rejects(dial(client, session));
    assert.match(refused[0]!, /^certificate serial [0-9A-F]+ revoked$/);
    put("client", await issue("another"));
    assert.equal((await dial(client)).us, "another");
  });

  test("a dialler refuses a revoked server, too", async () => {
    write("crl.pem", await revocationList(authority, [readFileSync(join(dir, "server.crt"), "utf8")]));
    await serve(source("server"));
    await assert.rejects(dial(source("client", {}, "crl.pem")), /certificate serial \w+ revoked/);
  });

  const rules: [string, TlsRules, RegExp | undefined][] = [
    ["its common name", { allowedCNs: ["x", "client"] }, undefined],
    ["not its common name", { allowedCNs: ["x"] }, /common name client is not allowed/],
    ["a host of its", { allowedHostnames: ["127.0.0.1"] }, undefined],
    [
      "a host that is not its",
      { allowedHostnames: ["a.example", "127.0.0.2"] },
      /for none of a\.example, 127\.0\.0\.2/,
    ],
    ["only TLS 1.3", { minVersion: "TLSv1.3" }, undefined],
  ];
  for (const [name, rule, reason] of rules) {
    test(`allowed is ${name}`, async () => {
      await serve(source("server", rule));
      if (reason === undefined) assert.equal((await dial(source("client"))).us, "client");
      else {
        await assert.rejects(dial(source("client")));
        assert.match(refused[0]!, reason);
      }
    });
  }

  test("versions that do not meet", async () => {
    await serve(source("server", { maxVersion: "TLSv1.2" }));
    await assert.rejects(dial(source("client", { minVersion: "TLSv1.3" })));
    assert.equal((await dial(source("client"))).us, "client");
  });
});

const pick = ({ us, them }: { us: string; them: string }) => ({ us, them });
