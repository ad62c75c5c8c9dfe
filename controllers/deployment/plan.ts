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
  /** Oldest first, without those to be deleted. */
  all: readonly ReplicaSet[];
  conditions: Conditions;
  revision: string | undefined;
  readonly #before = new Map<string, ReplicaSet>();
  #created: ReplicaSet | undefined;
  readonly #deleted: ReplicaSet[] = [];

  constructor(state: State, owned: readonly ReplicaSet[]) {
    this.state = state;
    this.deployment = state.deployment;
    this.all = byCreation(owned);
    for (const replicaSet of owned) this.#before.set(replicaSet.metadata.name, replicaSet);
    this.conditions = state.deployment.status?.conditions ?? [];
  }

  get newOne(): ReplicaSet | undefined {
    return findNew(this.deployment, this.all);
  }

  get old(): ReplicaSet[] {
    const { newOne } = this;
    return this.all.filter((replicaSet) => replicaSet !== newOne);
  }

  get active(): ReplicaSet[] {
    return this.all.filter((replicaSet) => replicasOf(replicaSet) > 0);
  }

  setCondition(...next: NewCondition): void {
    this.conditions = withCondition(this.conditions, this.state.nowMs, ...next);
  }

  create(replicaSet: ReplicaSet): void {
    this.#created = replicaSet;
    this.all = [...this.all, replicaSet];
  }

  update(replicaSet: ReplicaSet): void {
    const { name } = replicaSet.metadata;
    this.all = this.all.map((other) => (other.metadata.name === name ? replicaSet : other));
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
    this.all = this.all.filter((other) => other !== replicaSet);
  }

  actions(): Action[] {
    const actions: Action[] = [];
    if (this.#created) actions.push({ type: "CreateReplicaSet", replicaSet: this.#created });
    for (const replicaSet of this.all) {
      const before = this.#before.get(replicaSet.metadata.name);
      if (before === undefined || sameJson(before, replicaSet)) continue;
      const from = replicasOf(before);
      actions.push({ type: "UpdateReplicaSet", replicaSet, from: from === replicasOf(replicaSet) ? undefined : from });
    }
    for (const replicaSet of this.#deleted) actions.push({ type: "DeleteReplicaSet", replicaSet });
    if (this.revision !== undefined) actions.push({ type: "SetRevision", revision: this.revision });
    return actions;
  }
}
