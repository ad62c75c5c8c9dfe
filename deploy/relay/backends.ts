/**
 * Whom one route may lead to, each in turn, as haproxy's `roundrobin` with `check`: one whose last `fall` checks were bad
 * is out of rotation until one is good. Is nobody in rotation, all are tried: a connection that fails tells more than none.
 */
export class Backends {
  readonly all: readonly Backend[];
  #turn = 0;

  constructor(places: readonly { host: string; port: number }[]) {
    this.all = places.map((place) => ({ ...place, bad: 0, connections: new Set() }));
  }

  /** Whom a new connection tries, in order: the others, too, should a check be late to notice. */
  next(): Backend[] {
    const first = this.#turn++;
    const inTurn = this.all.map((_, i) => this.all[(first + i) % this.all.length]!);
    return [...inTurn.filter(isIn), ...inTurn.filter((backend) => !isIn(backend))];
  }
}

export interface Backend {
  host: string;
  port: number;
  /** Bad checks in a row. */
  bad: number;
  connections: Set<{ destroy(): unknown }>;
}

/** `unwell`: it answers, but not that it is well. `silent`: nothing came, so that its connections hang as well. */
export type Answer = "well" | "unwell" | "silent";

const fall = 2;
export const isIn = ({ bad }: Backend): boolean => bad < fall;

/**
 * Takes down what a check was told; true when that changed the rotation. The connections of one that falls silent are
 * ended (`on-marked-down shutdown-sessions`), once: their clients come again, to another.
 */
export function checked(backend: Backend, answer: Answer): boolean {
  const before = isIn(backend);
  backend.bad = answer === "well" ? 0 : backend.bad + 1;
  const fell = before && !isIn(backend);
  if (fell && answer === "silent") for (const connection of backend.connections) connection.destroy();
  return before !== isIn(backend);
}
