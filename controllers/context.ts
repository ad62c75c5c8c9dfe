import type { KubernetesObject, ResourceType } from "../apimachinery/object.ts";
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import type { Rand } from "../base/rand.ts";
import type { LeaderParts } from "../client/component.ts";
import { EventRecorder } from "../client/events.ts";
import { Informer } from "../client/informer.ts";
import type { Client } from "../client/types.ts";
import { type Controller, Runner } from "./runner.ts";

/** What every controller is made from: the API, time, and one shared informer a resource. */
export class ControllerContext implements LeaderParts {
  readonly client: Client;
  readonly clock: Clock;
  readonly rand: Rand;
  readonly log: Logger;
  #running: AbortSignal | undefined;
  readonly #informers = new Map<string, Informer<KubernetesObject>>();

  constructor({ client, clock, rand, log }: LeaderParts) {
    this.client = client;
    this.clock = clock;
    this.rand = rand;
    this.log = log;
  }

  informer<T extends KubernetesObject>(type: ResourceType<T>): Informer<T> {
    const name = `${type.group}/${type.resource}`;
    const informer = this.#informers.get(name) ?? new Informer<T>(this.client, type, this);
    this.#informers.set(name, informer as unknown as Informer<KubernetesObject>);
    return informer as Informer<T>;
  }

  /** Of a custom resource: runs at once, until `stop` or until all end. Only once the others run. */
  lateInformer<T extends KubernetesObject>(type: ResourceType<T>): { informer: Informer<T>; stop(): void } {
    const informer = new Informer<T>(this.client, type, this);
    const own = new AbortController();
    void informer.run(AbortSignal.any([own.signal, this.#running!]));
    return { informer, stop: () => own.abort() };
  }

  runner<S, A extends { type: string }>(controller: Controller<S, A>): Runner<S, A> {
    return new Runner(controller, this);
  }

  recorder(component: string): EventRecorder {
    const { client, clock, log } = this;
    return new EventRecorder({ client, clock, log, component });
  }

  /** Runs every informer asked for so far until `signal` aborts; `synced` resolves when all have listed. */
  startInformers(signal: AbortSignal): { synced: Promise<void>; ended: Promise<void> } {
    this.#running = signal;
    const informers = [...this.#informers.values()];
    const ended = Promise.all(informers.map((informer) => informer.run(signal))).then(() => {});
    return { synced: Promise.all(informers.map(({ synced }) => synced)).then(() => {}), ended };
  }
}
