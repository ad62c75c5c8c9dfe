import { randomBytes, randomUUID } from "node:crypto";

/** Randomness as a parameter: the system's in production, a seeded one in simulation and tests. */
export interface Rand {
  /** A float in [0, 1). */
  next(): number;
  /** An integer in [0, bound). */
  below(bound: number): number;
  /** A random unsigned 64-bit integer. */
  uint64(): bigint;
  /** An RFC 4122 version 4 UUID. */
  uuid(): string;
}

export const systemRand: Rand = {
  next: () => Math.random(),
  below: (bound) => Math.floor(Math.random() * bound),
  uint64: () => randomBytes(8).readBigUInt64BE(),
  uuid: () => randomUUID(),
};

/** A small seeded generator (splitmix32): same seed, same sequence, on every machine. */
export function seededRand(seed: number): Rand {
  let state = seed >>> 0;
  const uint32 = () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  const uint64 = () => (BigInt(uint32()) << 32n) | BigInt(uint32());
  return {
    next: () => uint32() / 2 ** 32,
    below: (bound) => Math.floor((uint32() / 2 ** 32) * bound),
    uint64,
    uuid() {
      const hex = (uint64().toString(16).padStart(16, "0") + uint64().toString(16).padStart(16, "0")).split("");
      hex[12] = "4";
      hex[16] = "89ab"[Number.parseInt(hex[16]!, 16) & 3]!;
      const s = hex.join("");
      return `${s.slice(0, 8)}-${s.slice(8, 12)}-${s.slice(12, 16)}-${s.slice(16, 20)}-${s.slice(20)}`;
    },
  };
}
