/**
 * Where values live: copied, one after the other, into large buffers outside the JavaScript heap. A value costs its
 * bytes and no object of its own, and keeps no network buffer alive (kept slices cost up to 18 times their size).
 *
 * A slab is freed by the garbage collector once no value points into it. One long-lived value among dead ones would
 * hold all of it, so compaction copies the values of sparse slabs together (`isSparse`). Bytes in a slab never change,
 * so a view that was handed out stays true.
 */
export interface Slab {
  readonly bytes: Buffer;
  used: number;
  /** Bytes of values that are still wanted. */
  live: number;
}

export class Slabs {
  /** Of all values that are still wanted. */
  liveBytes = 0;
  /** Of all slabs that hold at least one of them. */
  capacityBytes = 0;
  #current: Slab = noSlab;

  copy(value: Uint8Array): Slab {
    const length = value.length;
    if (length === 0) return noSlab;
    const slab = this.#room(length);
    slab.bytes.set(value, slab.used);
    slab.used += length;
    slab.live += length;
    this.liveBytes += length;
    return slab;
  }

  release(slab: Slab, length: number): void {
    if (length === 0) return;
    slab.live -= length;
    this.liveBytes -= length;
    if (slab.live === 0 && slab !== this.#current) this.capacityBytes -= slab.bytes.length;
  }

  isSparse(slab: Slab): boolean {
    return slab !== noSlab && slab !== this.#current && slab.live * 2 < slab.bytes.length;
  }

  get isWasteful(): boolean {
    return this.capacityBytes > 2 * this.liveBytes + 4 * slabBytes;
  }

  #room(length: number): Slab {
    if (length > slabBytes / 4) return this.#allocate(length);
    if (this.#current.bytes.length - this.#current.used < length) {
      const full = this.#current;
      this.#current = this.#allocate(slabBytes);
      if (full.live === 0) this.capacityBytes -= full.bytes.length;
    }
    return this.#current;
  }

  #allocate(size: number): Slab {
    this.capacityBytes += size;
    return { bytes: Buffer.allocUnsafeSlow(size), used: 0, live: 0 };
  }
}

const slabBytes = 128 * 1024;
export const noSlab: Slab = { bytes: Buffer.alloc(0), used: 0, live: 0 };
