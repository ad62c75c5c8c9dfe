import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import fc from "fast-check";
import { beforeAll, describe, test } from "vitest";
import { createAuthority } from "../pki/authority.ts";
import { revocationList } from "../pki/testing.ts";
import { revokedSerials } from "./crl.ts";

describe("a revocation list", () => {
  let pems: string[];
  let list: string;
  let empty: string;
  beforeAll(async () => {
    const authority = await createAuthority("ca");
    pems = await Promise.all(
      ["a", "b"].map(async (commonName) => (await authority.issue({ commonName, usages: [] })).cert),
    );
    [list, empty] = (await Promise.all([revocationList(authority, pems), revocationList(authority, [])])) as [
      string,
      string,
    ];
  });
  const der = (pem: string) => Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64");

  test("names serial numbers, in PEM and in DER", () => {
    const serials = new Set(pems.map((pem) => BigInt(`0x${new X509Certificate(pem).serialNumber}`)));
    assert.deepEqual(revokedSerials(Buffer.from(list)), serials);
    assert.deepEqual(revokedSerials(der(list)), serials);
  });

  test("may be empty", () => assert.deepEqual(revokedSerials(Buffer.from(empty)), new Set()));

  test("that is cut short, or something else, is refused", () => {
    for (const bytes of [der(list).subarray(0, -1), Buffer.from(pems[0]!), Buffer.from(""), Buffer.from("x")]) {
      assert.throws(() => revokedSerials(bytes), /not a certificate revocation list/);
    }
  });

  test("whatever the bytes, it answers or refuses", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) }), { minLength: 1 }),
        (changes) => {
          const bytes = der(list);
          for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
          try {
            revokedSerials(bytes);
          } catch (error) {
            assert.match((error as Error).message, /not a certificate revocation list/);
          }
        },
      ),
    );
  });
});
