import type { Container, Pod } from "../api/generated/core-v1.ts";
import { Pods } from "../api/generated/resources.ts";
import type { EventRecorder } from "../client/events.ts";
import type { TellEvent } from "./images.ts";

/** The Events of one Pod, as the API will show them below it. */
export class PodEvents {
  readonly #recorder: EventRecorder;
  readonly #backOffs = new Set<string>();
  #pod: Pod | undefined;

  constructor(recorder: EventRecorder) {
    this.#recorder = recorder;
  }

  /** Undefined when the Pod is gone: then nothing is told. */
  observe(pod: Pod | undefined): void {
    this.#pod = pod;
  }

  /** About the Pod, or about one of its containers. */
  about(container?: Container): TellEvent {
    return (type, reason, message) => {
      const object = this.#pod;
      if (object === undefined) return;
      const isInit = object.spec?.initContainers?.some(({ name }) => name === container?.name);
      const fieldPath = container && `spec.${isInit ? "initContainers" : "containers"}{${container.name}}`;
      this.#recorder.event(Pods, object, type, reason, message, fieldPath);
    };
  }

  /** Once for each run of a container that ended. */
  backOff(container: Container, lastRunId: string): void {
    if (this.#pod === undefined || this.#backOffs.has(lastRunId)) return;
    this.#backOffs.add(lastRunId);
    const { name, namespace, uid } = this.#pod.metadata;
    const text = `Back-off restarting failed container ${container.name} in pod ${name}_${namespace}(${uid})`;
    this.about(container)("Warning", "BackOff", text);
  }
}
