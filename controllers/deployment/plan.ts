import type { Deployment, ReplicaSet } from "../../api/generated/apps-v1.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { Action, State } from "./reconcile.ts";
import { byCreation, findNew, sizeAnnotations } from "./revision.ts";
import { replicasOf } from "./sizes.ts";
import { type Conditions, type NewCondition, withCondition } from "./status.ts";

/**
 * One step in the making: the ReplicaSets as they will be once its actions are done. Later decisions of the same step
 * look at these, and each changed ReplicaSet is written once.
 */
export class Plan {
  readonly deployment: Deployment;
  readonly state: State;
  #replicaSets: ReplicaSet[];
  readonly #before = new Map<string, ReplicaSet>();
  #created: ReplicaSet | undefined;
  #revision: string | undefined;
  readonly #deleted: ReplicaSet[] = [];
  #conditions: Conditions;

  constructor(state: State, owned: readonly ReplicaSet[]) {
    this.state = state;
    this.deployment = state.deployment;
    this.#replicaSets = byCreation(owned);
    for (const replicaSet of owned) this.#before.set(replicaSet.metadata.name, replicaSet);
    this.#conditions = state.deployment.status?.conditions ?? [];
  }

  /** Oldest first, without those to be deleted. */
  get all(): readonly ReplicaSet[] {
    return this.#replicaSets;
  }

  get newOne(): ReplicaSet | undefined {
    return findNew(this.deployment, this.#replicaSets);
  }

  get old(): ReplicaSet[] {
    const { newOne } = this;
    return this.#replicaSets.filter((replicaSet) => replicaSet !== newOne);
  }

  get active(): ReplicaSet[] {
    return this.#replicaSets.filter((replicaSet) => replicasOf(replicaSet) > 0);
  }

  get conditions(): Conditions {
    return this.#conditions;
  }

  setCondition(...next: NewCondition): void {
    this.#conditions = withCondition(this.#conditions, this.state.nowMs, ...next);
  }

  setRevision(revision: string): void {
    this.#revision = revision;
  }

  create(replicaSet: ReplicaSet): void {
    this.#created = replicaSet;
    this.#replicaSets.push(replicaSet);
  }

  update(replicaSet: ReplicaSet): void {
    const { name } = replicaSet.metadata;
    this.#replicaSets = this.#replicaSets.map((other) => (other.metadata.name === name ? replicaSet : other));
    if (this.#created?.metadata.name === name) this.#created = replicaSet;
  }

  /** Also notes the Deployment's size that it was scaled for. */
  scale(replicaSet: ReplicaSet, replicas: number): void {
    const annotations = { ...replicaSet.metadata.annotations, ...sizeAnnotations(this.deployment) };
    const { metadata, spec } = replicaSet;
    this.update({ ...replicaSet, metadata: { ...metadata, annotations }, spec: { ...spec, replicas } });
  }

  delete(replicaSet: ReplicaSet): void {
    this.#deleted.push(replicaSet);
    this.#replicaSets = this.#replicaSets.filter((other) => other !== replicaSet);
  }

  actions(): Action[] {
    const actions: Action[] = [];
    if (this.#created) actions.push({ type: "CreateReplicaSet", replicaSet: this.#created });
    for (const replicaSet of this.#replicaSets) {
      const before = this.#before.get(replicaSet.metadata.name);
      if (before === undefined || sameJson(before, replicaSet)) continue;
      const from = replicasOf(before);
      actions.push({ type: "UpdateReplicaSet", replicaSet, from: from === replicasOf(replicaSet) ? undefined : from });
    }
    for (const replicaSet of this.#deleted) actions.push({ type: "DeleteReplicaSet", replicaSet });
    if (this.#revision !== undefined) actions.push({ type: "SetRevision", revision: this.#revision });
    return actions;
  }
}
