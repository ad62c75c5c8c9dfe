import type { Rand } from "../../base/rand.ts";
import { GrpcError } from "../../net/grpc-error.ts";
import type { Operation, Request, Response } from "../checkers/history.ts";
import type { SimMember } from "./sim-member.ts";
import { Workload } from "./workload.ts";
import type { World } from "./world.ts";

/**
 * Clients that ask any member, one operation at a time each, and write down what they see. One that hears nothing in time
 * goes on; what it asked for may happen all the same, or later, or never.
 */
export class Clients {
  acknowledged = 0;
  readonly #world: World;
  readonly #rand: Rand;
  #stopped = false;

  constructor(world: World, rand: Rand) {
    this.#world = world;
    this.#rand = rand;
  }

  start(count: number): void {
    for (let i = 0; i < count; i++) {
      const workload = new Workload(this.#rand, `c${i}`);
      this.#world.clock.after(this.#rand.below(100), () => this.#next(`c${i}`, workload));
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** One request; resolves with the answer, or with nothing when it is not known how it ended. */
  ask(client: string, member: SimMember, request: Request): Promise<Response | undefined> {
    const { recorder } = this.#world;
    const operation: Operation = { type: "operation", client, member: member.name, called: recorder.now(), request };
    recorder.add(operation);
    return new Promise((resolve) => {
      let open = true;
      const end = (how?: Pick<Operation, "response" | "error">) => {
        if (!open) return;
        open = false;
        cancel();
        if (how) Object.assign(operation, { returned: recorder.now(), ...how });
        if (how?.response) this.acknowledged++;
        resolve(operation.response);
      };
      const cancel = this.#world.clock.after(clientTimeoutMs, end);
      const failed = ({ code = 14, message }: Error & { code?: number }) => end({ error: { code, message } });
      this.#hop(() => {
        const { life, services } = member;
        if (life === undefined || services === undefined) return failed(new Error("connection refused"));
        life
          .run(() => services.call(request))
          .then(
            (response) => this.#hop(() => end({ response })),
            (error: Error) => {
              if (!(error instanceof GrpcError) && life.alive) throw error;
              this.#hop(() => failed(error));
            },
          );
      });
    });
  }

  #next(client: string, workload: Workload): void {
    if (this.#stopped) return;
    const members = this.#world.members().filter(({ services }) => services);
    const again = () => this.#world.clock.after(1 + this.#rand.below(30), () => this.#next(client, workload));
    if (members.length === 0) {
      again();
      return;
    }
    const member = members[this.#rand.below(members.length)]!;
    void this.ask(client, member, workload.next()).then((response) => {
      workload.saw(response);
      again();
    });
  }

  #hop(arrive: () => void): void {
    this.#world.clock.after(0.2 - Math.log(1 - this.#rand.next()) * 0.5, arrive);
  }
}

const clientTimeoutMs = 1000;
