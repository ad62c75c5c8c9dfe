import type { Service } from "../../../api/generated/core-v1.ts";
import { Services } from "../../../api/generated/resources.ts";
import { invalid } from "../../../apimachinery/status.ts";
import { initializing } from "../../storage/errors.ts";
import { registryRoot, type Storage, type Write } from "../../storage/storage.ts";
import { encodeValue, type StoredObject } from "../../storage/stored-object.ts";
import { type Allocated, type Allocations, allocate, held } from "./allocate.ts";
import { Bitmap, type NumberRange } from "./range.ts";

/**
 * What this apiserver knows of the two allocator objects. Several apiservers allocate at once: the Txn that writes the
 * Service is conditional on the allocators' revisions, and whoever comes second decides again on the newer state.
 */
export class ServiceRanges {
  readonly #storage: Storage;
  readonly #ips: State;
  readonly #ports: State;
  #loaded = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(storage: Storage, ips: NumberRange, ports: NumberRange) {
    this.#storage = storage;
    this.#ips = { key: `${registryRoot}ranges/serviceips`, range: ips, revision: 0, taken: new Bitmap(), last: 0 };
    this.#ports = {
      key: `${registryRoot}ranges/servicenodeports`,
      range: ports,
      revision: 0,
      taken: new Bitmap(),
      last: 0,
    };
  }

  /** Reads the allocators; what they hold for another range, or what lies in no allocator, comes from the Services. */
  async load(services: () => Iterable<StoredObject>): Promise<void> {
    for (const state of [this.#ips, this.#ports]) this.#read(state, await this.#storage.get(state.key), services);
    this.#loaded = true;
  }

  /**
   * The writes that go with a Service's change (undefined: no Service before, or none after). `commit` makes them, and
   * `refused` must be told when the store had something else. Throws 422.
   */
  plan(
    previous: Service | undefined,
    wanted: Service | undefined,
  ): { service: Service; writes: Write[]; commit(revision: number): void } {
    if (!this.#loaded) throw initializing();
    const result = allocate(previous, wanted, this.#allocations());
    if (result.errors.length > 0) throw invalid(Services, wanted?.metadata.name ?? "", result.errors);
    const changes = this.#changes(result);
    return {
      service: result.service,
      writes: changes.map(({ state, taken }) => ({
        key: state.key,
        revision: state.revision,
        value: encodeRange(state.range, taken),
      })),
      commit: (revision) => {
        for (const { state, taken } of changes) {
          if (revision > state.revision) Object.assign(state, { taken, revision });
        }
        if (wanted === undefined) return;
        const { ips, ports } = held(result.service, this.#allocations());
        this.#ips.last = ips[0] ?? this.#ips.last;
        this.#ports.last = ports.at(-1) ?? this.#ports.last;
      },
    };
  }

  /** Looks at what other apiservers have allocated meanwhile. */
  async refresh(): Promise<void> {
    this.refused(await Promise.all([this.#ips, this.#ports].map(({ key }) => this.#storage.get(key))));
  }

  /** What the store holds for the keys of a refused commit. */
  refused(current: readonly (StoredObject | undefined)[]): void {
    for (const stored of current) {
      for (const state of [this.#ips, this.#ports]) if (stored?.key === state.key) this.#read(state, stored, () => []);
    }
  }

  /** One after the other: writers of this process would only refuse one another. */
  exclusively<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#last.then(run, run);
    this.#last = result.catch(() => {});
    return result;
  }

  #allocations(): Allocations {
    return { ips: this.#ips, ports: this.#ports };
  }

  #changes({ ips, ports }: Allocated): { state: State; taken: Bitmap }[] {
    const changed = [
      { state: this.#ips, taken: ips },
      { state: this.#ports, taken: ports },
    ];
    return changed.filter(({ state, taken }) => state.revision === 0 || taken.toBase64() !== state.taken.toBase64());
  }

  #read(state: State, stored: StoredObject | undefined, services: () => Iterable<StoredObject>): void {
    const object = stored?.parse() as { range?: string; data?: string } | undefined;
    state.revision = stored?.revision ?? 0;
    if (object?.range === state.range.text) {
      state.taken = Bitmap.fromBase64(object.data ?? "");
      return;
    }
    const which = state === this.#ips ? "ips" : "ports";
    const offsets = [...services()].flatMap((service) => held(service.parse() as Service, this.#allocations())[which]);
    state.taken = new Bitmap().with(offsets, true);
  }
}

interface State {
  key: string;
  range: NumberRange;
  revision: number;
  taken: Bitmap;
  last: number;
}

function encodeRange({ text }: NumberRange, taken: Bitmap): Buffer {
  return encodeValue({
    kind: "RangeAllocation",
    apiVersion: "v1",
    metadata: { creationTimestamp: null },
    range: text,
    data: taken.toBase64(),
  } as never);
}
