import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, test } from "vitest";
import { parseDuration } from "../../base/flags.ts";
import { StartError } from "../../base/process.ts";
import { loadJwt, parseJwtOptions } from "./jwt.ts";

const pem = ({ publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject }) => ({
  pub: Buffer.from(publicKey.export({ type: "spki", format: "pem" })),
  priv: Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" })),
});
const rsa = () => pem(generateKeyPairSync("rsa", { modulusLength: 2048 }));
const ec = (namedCurve: string) => pem(generateKeyPairSync("ec", { namedCurve }));
const secret = Buffer.from("a secret that both sides know");
const pairs: Record<string, { pub: Buffer; priv: Buffer }> = {
  rsa: rsa(),
  "other-rsa": rsa(),
  p256: ec("P-256"),
  p384: ec("P-384"),
  p521: ec("P-521"),
  ed: pem(generateKeyPairSync("ed25519")),
  secret: { pub: secret, priv: secret },
};

/** `/rsa.pub`, `/rsa.priv` and so on are files here. */
const read = (file: string): Buffer => {
  const [name, half] = file.slice(1).split(".") as [string, "pub" | "priv"];
  const bytes = pairs[name]?.[half];
  if (bytes === undefined) throw new Error(`ENOENT: no such file or directory, open '${file}'`);
  return bytes;
};
const jwt = (options: string) =>
  loadJwt(
    parseJwtOptions(`jwt,${options}`, (text) => parseDuration("auth-token", text)),
    read,
  );
const ann = { username: "ann", revision: 7 };
const now = 1_700_000_000_000;

describe("a token is read by every member with the key", () => {
  const rows: [method: string, key: string][] = [
    ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map((method): [string, string] => [method, "rsa"]),
    ["ES256", "p256"],
    ["ES384", "p384"],
    ["ES512", "p521"],
    ["EdDSA", "ed"],
    ["HS256", "secret"],
    ["HS384", "secret"],
    ["HS512", "secret"],
  ];
  for (const [method, key] of rows) {
    test(method, async () => {
      const maker = jwt(`priv-key=/${key}.priv,sign-method=${method},ttl=10s`);
      const token = await maker.sign(ann, now);
      const [head, claims] = token.split(".").map((part) => Buffer.from(part, "base64url").toString());
      assert.deepEqual(JSON.parse(head!), { alg: method, typ: "JWT" });
      assert.deepEqual(JSON.parse(claims!), { ...ann, exp: now / 1000 + 10 });
      const reader = method.startsWith("HS") ? maker : jwt(`pub-key=/${key}.pub,sign-method=${method}`);
      assert.deepEqual(reader.identityOf(token, now), ann);
      assert.deepEqual(reader.identityOf(token, now + 9_999), ann);
      assert.equal(reader.identityOf(token, now + 10_000), undefined, "its time is over");
      for (const at of [2, token.indexOf(".") + 3, token.length - 3]) {
        const other = token[at] === "A" ? "B" : "A";
        const changed = token.slice(0, at) + other + token.slice(at + 1);
        assert.equal(reader.identityOf(changed, now), undefined, `with another letter at ${at}`);
      }
    });
  }
});

describe("a token is nobody's", () => {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const hs256 = (claims: object, head: object = { alg: "HS256", typ: "JWT" }, key: Buffer = secret) => {
    const text = `${part(head)}.${part(claims)}`;
    return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
  };
  const ofRsa = jwt("pub-key=/rsa.pub,priv-key=/rsa.priv,sign-method=RS256");
  const ofSecret = jwt("priv-key=/secret.priv,sign-method=HS256");
  const rows: [string, () => string | Promise<string>, typeof ofRsa][] = [
    ["of another key", () => jwt("priv-key=/other-rsa.priv,sign-method=RS256").sign(ann, now), ofRsa],
    ["of another method with the same key", () => jwt("priv-key=/rsa.priv,sign-method=RS512").sign(ann, now), ofRsa],
    ["signed with the public key as a secret", () => hs256(ann, undefined, pairs["rsa"]!.pub), ofRsa],
    ["with the method none", () => `${part({ alg: "none" })}.${part(ann)}.`, ofRsa],
    ["without a user", () => hs256({ revision: 1 }), ofSecret],
    ["without a revision", () => hs256({ username: "ann" }), ofSecret],
    ["with a revision that is no number", () => hs256({ username: "ann", revision: "1" }), ofSecret],
    ["that begins tomorrow", () => hs256({ ...ann, nbf: now / 1000 + 86_400 }), ofSecret],
    ["whose claims are no object", () => hs256([]), ofSecret],
    ["with a fourth part", () => `${hs256(ann)}.x`, ofSecret],
    ["that is a simple token", () => "abcdefghijklmnop.12", ofSecret],
    ["that is empty", () => "", ofSecret],
  ];
  for (const [name, make, reader] of rows) {
    test(name, async () => assert.equal(reader.identityOf(await make(), now), undefined));
  }

  test("but a token of ours without an end has none", () => {
    assert.deepEqual(ofSecret.identityOf(hs256(ann), now), ann);
  });
});

describe("bad options are one line", () => {
  const rows: [string, string, RegExp][] = [
    [
      "no method",
      "priv-key=/rsa.priv",
      /^--auth-token: auth: invalid auth signature method: sign-method= is none of HS256/,
    ],
    ["an unknown method", "priv-key=/rsa.priv,sign-method=none", /invalid auth signature method: sign-method=none/],
    ["no key", "sign-method=RS256", /missing key data/],
    ["a secret only to read with", "pub-key=/secret.pub,sign-method=HS256", /missing key data: HS256 needs priv-key/],
    ["an option without a value", "sign-method", /invalid auth options: "sign-method" is not key=value/],
    [
      "an option given twice",
      "sign-method=RS256,sign-method=RS512",
      /invalid auth options: sign-method is given twice/,
    ],
    ["a file that is not there", "priv-key=/no.priv,sign-method=RS256", /--auth-token: \/no\.priv: ENOENT/],
    ["a file that holds no key", "priv-key=/secret.priv,sign-method=RS256", /--auth-token: \/secret\.priv: /],
    [
      "keys of two pairs",
      "pub-key=/rsa.pub,priv-key=/other-rsa.priv,sign-method=RS256",
      /public and private keys don't match: \/rsa\.pub and \/other-rsa\.priv/,
    ],
    [
      "a key of another kind",
      "priv-key=/rsa.priv,sign-method=ES256",
      /\/rsa\.priv holds a key of rsa, which is none for ES256/,
    ],
    [
      "a key of another curve",
      "priv-key=/p256.priv,sign-method=ES384",
      /holds a key of prime256v1, which is none for ES384/,
    ],
    ["a time that is none", "priv-key=/rsa.priv,sign-method=RS256,ttl=5", /--auth-token takes a duration/],
  ];
  for (const [name, options, message] of rows) {
    test(name, () =>
      assert.throws(
        () => jwt(options),
        (error: Error) => message.test(error.message) && !error.message.includes("\n"),
      ),
    );
  }

  test("an option that means nothing is told, as etcd warns of it", () => {
    const options = parseJwtOptions("jwt,priv-key=/rsa.priv,sign-method=RS256,tll=5s", () => 0);
    assert.deepEqual(options.unknown, ["tll"]);
  });

  test("what is refused is the operator's to mend", () => {
    assert.throws(() => jwt("sign-method=RS256"), StartError);
  });
});
