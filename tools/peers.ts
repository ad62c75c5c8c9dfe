import { peerPath, type peers } from "./peers.mjs";

export type PeerName = keyof typeof peers;

/**
 * Path of a real counterpart (see tools/peers.mjs), or undefined where this machine could not get it: the test that
 * needs it is skipped by name. With REQUIRE_PEERS=1, as CI sets it, a missing peer is an error instead.
 *
 *   const etcdctl = peer("etcdctl");
 *   test.skipIf(!etcdctl)("etcdctl puts and gets", ...);
 */
export function peer(name: PeerName): string | undefined {
  const path = peerPath(name);
  if (path === undefined && process.env["REQUIRE_PEERS"] === "1") {
    throw new Error(`REQUIRE_PEERS=1, but ${name} is not under .cache/peers: run \`node tools/peers.mjs\``);
  }
  return path;
}
