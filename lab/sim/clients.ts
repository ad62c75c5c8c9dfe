import type { Clock } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import { GrpcError } from "../../net/grpc-error.ts";
import type { Operation, Request, Response } from "../checkers/history.ts";
import type { Recorder } from "./recorder.ts";
import type { SimMember } from "./sim-member.ts";
import { Workload } from "./workload.ts";

/**
 * Clients that ask any member, one operation at a time each, and write down what they see. One that hears nothing in time
 * goes on; what it asked for may happen all the same, or later, or never.
 */
export class Clients {
  acknowledged = 0;
  readonly #clock: Clock;
  readonly #rand: Rand;
  readonly #recorder: Recorder;
  readonly #members: () => readonly SimMember[];
  #stopped = false;

  constructor(clock: Clock, rand: Rand, recorder: Recorder, members: () => readonly SimMember[]) {
    this.#clock = clock;
    this.#rand = rand;
    this.#recorder = recorder;
    this.#members = members;
  }

  start(count: number): void {
    for (let i = 0; i < count; i++) {
      const workload = new Workload(this.#rand, `c${i}`);
      this.#clock.after(this.#rand.below(100), () => this.#next(`c${i}`, workload));
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** One request; resolves with the answer, or with nothing when it is not known how it ended. */
  ask(client: string, member: SimMember, request: Request): Promise<Response | undefined> {
    const operation: Operation = {
      type: "operation",
      client,
      member: member.name,
      called: this.#recorder.now(),
      request,
    };
    this.#recorder.add(operation);
    return new Promise((resolve) => {
      let open = true;
      const end = (settle: () => void) => {
        if (!open) return;
        open = false;
        cancel();
        settle();
        resolve(operation.response);
      };
      const cancel = this.#clock.after(clientTimeoutMs, () => end(() => {}));
      const answered = (response: Response) =>
        end(() => {
          operation.returned = this.#recorder.now();
          operation.response = response;
          this.acknowledged++;
        });
      const failed = (error: Error) =>
        end(() => {
          operation.returned = this.#recorder.now();
          const { code = 14, message } = error as GrpcError;
          operation.error = { code, message };
        });
      this.#hop(() => {
        const { life, services } = member;
        if (life === undefined || services === undefined) return failed(new Error("connection refused"));
        life
          .run(() => services.call(request))
          .then(
            (response) => this.#hop(() => answered(response)),
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
    const members = this.#members().filter(({ services }) => services);
    const again = () => this.#clock.after(1 + this.#rand.below(30), () => this.#next(client, workload));
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
    this.#clock.after(0.2 - Math.log(1 - this.#rand.next()) * 0.5, arrive);
  }
}

const clientTimeoutMs = 1000;
