import type { Clock } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import type { Operation } from "../checkers/linearizable.ts";
import type { Outcome, SimMember } from "./sim-member.ts";

/**
 * Clients that write and read a few registers through any member, one operation at a time each, and note what they see.
 * An operation without answer in time is indeterminate; one that was refused never happened.
 */
export class Clients {
  readonly acknowledged: string[] = [];
  readonly #history: Operation[] = [];
  readonly #clock: Clock;
  readonly #rand: Rand;
  readonly #members: readonly SimMember[];
  #order = 0;
  #stopped = false;
  #counter = 0;

  constructor(clock: Clock, rand: Rand, members: readonly SimMember[]) {
    this.#clock = clock;
    this.#rand = rand;
    this.#members = members;
  }

  start(count: number): void {
    for (let i = 0; i < count; i++) this.#clock.after(this.#rand.below(100), () => this.#next());
  }

  stop(): void {
    this.#stopped = true;
  }

  /** What may have happened, refused operations left out. */
  get history(): readonly Operation[] {
    return this.#history;
  }

  #next(): void {
    if (this.#stopped) return;
    const member = this.#members[this.#rand.below(this.#members.length)]!;
    const id = `w${++this.#counter}`;
    const kind = this.#rand.below(2) === 0 ? "write" : "read";
    const operation: Operation = {
      key: `k${this.#rand.below(3)}`,
      kind,
      value: kind === "write" ? id : undefined,
      called: ++this.#order,
      returned: undefined,
    };
    this.#history.push(operation);
    let open = true;
    const end = (outcome: Outcome) => {
      if (!open) return;
      open = false;
      cancel();
      this.#settle(operation, id, outcome);
      this.#clock.after(1 + this.#rand.below(30), () => this.#next());
    };
    const cancel = this.#clock.after(1000, () => end({ type: "lost" }));
    if (kind === "write") member.write(id, operation.key, id, end);
    else member.read(operation.key, end);
  }

  #settle(operation: Operation, id: string, outcome: Outcome): void {
    if (outcome.type === "refused") {
      this.#history.splice(this.#history.indexOf(operation), 1);
    } else if (outcome.type === "answered") {
      operation.returned = ++this.#order;
      operation.value = outcome.value;
      if (operation.kind === "write") this.acknowledged.push(id);
    }
  }
}
