import type { Service } from "../../../api/generated/core-v1.ts";
import { Services } from "../../../api/generated/resources.ts";
import { invalid } from "../../../apimachinery/status.ts";
import { initializing } from "../../storage/errors.ts";
import { registryRoot, type Storage, type Write } from "../../storage/storage.ts";
import { encodeValue, type StoredObject } from "../../storage/stored-object.ts";
import { allocate, held } from "./allocate.ts";
import { Bitmap, type NumberRange } from "./range.ts";

/**
 * What this apiserver knows of the two allocator objects. Several apiservers allocate at once: the Txn that writes the
 * Service is conditional on the allocators' revisions, and whoever comes second decides again on the newer state.
 */
export class ServiceRanges {
  readonly #storage: Storage;
  readonly #states: Record<"ips" | "ports", State>;
  #loaded = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(storage: Storage, ips: NumberRange, ports: NumberRange) {
    this.#storage = storage;
    const state = (name: string, range: NumberRange): State => {
      return { key: `${registryRoot}ranges/${name}`, range, revision: 0, taken: new Bitmap(), last: 0 };
    };
    this.#states = { ips: state("serviceips", ips), ports: state("servicenodeports", ports) };
  }

  /** Reads the allocators; what they hold for another range, or what lies in no allocator, comes from the Services. */
  async load(services: () => Iterable<StoredObject>): Promise<void> {
    for (const which of kinds) this.#read(which, await this.#storage.get(this.#states[which].key), services);
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
    const states = this.#states;
    const result = allocate(previous, wanted, states);
    if (result.errors.length > 0) throw invalid(Services, wanted?.metadata.name ?? "", result.errors);
    const changes = kinds
      .map((which) => ({ state: states[which], taken: result[which] }))
      .filter(({ state, taken }) => state.revision === 0 || taken.toBase64() !== state.taken.toBase64());
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
        const { ips, ports } = held(result.service, states);
        states.ips.last = ips[0] ?? states.ips.last;
        states.ports.last = ports.at(-1) ?? states.ports.last;
      },
    };
  }

  /** Looks at what other apiservers have allocated meanwhile. */
  async refresh(): Promise<void> {
    this.refused(await Promise.all(kinds.map((which) => this.#storage.get(this.#states[which].key))));
  }

  /** What the store holds for the keys of a refused commit. */
  refused(current: readonly (StoredObject | undefined)[]): void {
    for (const stored of current)
      for (const which of kinds) if (stored?.key === this.#states[which].key) this.#read(which, stored, () => []);
  }

  /** One after the other: writers of this process would only refuse one another. */
  exclusively<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#last.then(run, run);
    this.#last = result.catch(() => {});
    return result;
  }

  #read(which: (typeof kinds)[number], stored: StoredObject | undefined, services: () => Iterable<StoredObject>): void {
    const state = this.#states[which];
    const object = stored?.parse() as { range?: string; data?: string } | undefined;
    state.revision = stored?.revision ?? 0;
    if (object?.range === state.range.text) {
      state.taken = Bitmap.fromBase64(object.data ?? "");
      return;
    }
    const offsets = [...services()].flatMap((service) => held(service.parse() as Service, this.#states)[which]);
    state.taken = new Bitmap().with(offsets, true);
  }
}

const kinds = ["ips", "ports"] as const;

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
