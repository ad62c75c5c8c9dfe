import assert from "node:assert/strict";
import bcrypt from "bcryptjs";
import { afterEach, describe, test } from "vitest";
import { PasswordPool } from "./password.ts";

describe("passwords", () => {
  let pool: PasswordPool;
  afterEach(() => pool.close());

  test("a hash is etcd's kind of bcrypt and knows its password", async () => {
    pool = new PasswordPool(2);
    const hash = await pool.hash("secret", 4);
    assert.match(hash, /^\$2a\$04\$/);
    assert.deepEqual(await Promise.all([pool.compare("secret", hash), pool.compare("Secret", hash)]), [true, false]);
  });

  test("one that bcrypt would cut short is refused, in Go's words", async () => {
    pool = new PasswordPool(1);
    await pool.hash("x".repeat(72), 4);
    const text = "bcrypt: password length exceeds 72 bytes";
    await assert.rejects(pool.hash("\u00fc".repeat(37), 4), { code: 2, message: text });
  });

  test("this thread has its turns while one is hashed", async () => {
    pool = new PasswordPool(1);
    await pool.hash("warm", 4);
    let turns = 0;
    let done = false;
    const hashing = pool.hash("secret", 11).then(() => {
      done = true;
    });
    while (!done) {
      turns++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await hashing;
    assert.ok(turns > 20, `${turns} turns`); // bcrypt on this thread, in its own slices, leaves one or two
  });

  test("no more than 128 wait, and the others are answered all the same", async () => {
    pool = new PasswordPool(1);
    const outcomes = await Promise.allSettled(Array.from({ length: 200 }, () => pool.hash("x", 4)));
    const refused = outcomes.filter((outcome) => outcome.status === "rejected");
    assert.equal(refused.length, 200 - 128 - 1);
    assert.equal(refused[0]!.reason.message, "etcdserver: too many requests");
  });

  test("a bad hash is an error of its caller alone", async () => {
    pool = new PasswordPool(1);
    const hash = bcrypt.hashSync("x", 4);
    const [bad, good] = await Promise.allSettled([pool.compare("x", undefined as never), pool.compare("x", hash)]);
    assert.equal(bad.status, "rejected");
    assert.deepEqual(good, { status: "fulfilled", value: true });
  });

  test("what still waits at the end is told so", async () => {
    pool = new PasswordPool(1);
    const [running, waiting] = [pool.hash("x", 12), pool.hash("x", 4)];
    const outcomes = Promise.allSettled([running, waiting]);
    await pool.close();
    assert.deepEqual(
      (await outcomes).map((outcome) => outcome.status === "rejected" && outcome.reason.message),
      ["etcdserver: server stopped", "etcdserver: server stopped"],
    );
  });
});
