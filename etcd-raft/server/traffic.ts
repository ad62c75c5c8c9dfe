import type { Socket } from "node:net";
import type { Cancel } from "../../base/clock.ts";
import { memo } from "../../base/memo.ts";
import { Counter, type Registry } from "../../base/metrics.ts";
import { FrameKind } from "./frames.ts";
import type { Member } from "./member.ts";

/**
 * Bytes over connections, by whom they are with. Sockets count them anyway and are asked only when somebody asks for the
 * metrics: so it costs nothing while they flow.
 */
export class Traffic {
  readonly #with = new Map<string, { open: Set<Socket> } & Record<Way, number>>(); // numbers: of those that are closed

  /** Each metric is a name, its help, and the label that says with whom, if any. */
  constructor(registers: Registry[], sent: TrafficMetric, received: TrafficMetric) {
    const observe = ([name, help, ...labelNames]: TrafficMetric, way: Way) => {
      const collect = () => {
        made.reset();
        for (const [who, { open, [way]: closed }] of this.#with)
          for (const bytes of [closed, ...[...open].map((socket) => socket[way])])
            made.inc(Object.fromEntries(labelNames.map((label) => [label, who])), bytes);
      };
      const made: Counter = new Counter({ name, help, labelNames, registers, collect });
    };
    observe(sent, "bytesWritten");
    observe(received, "bytesRead");
  }

  add(socket: Socket, who: string): void {
    const total = memo(this.#with, who, () => ({ open: new Set(), bytesWritten: 0, bytesRead: 0 }));
    total.open.add(socket);
    socket.once("close", () => {
      total.open.delete(socket);
      total.bytesWritten += socket.bytesWritten;
      total.bytesRead += socket.bytesRead;
    });
  }
}

type Way = "bytesWritten" | "bytesRead";
type TrafficMetric = [name: string, help: string, ...label: string[]];

/** Measures the way to each peer and back, through both event loops (etcd: `prober.go` of rafthttp). */
export function probePeers({ id: self, applier, transport, config }: Member): Cancel {
  const { clock, metrics } = config;
  return clock.every(probeMs, () => {
    for (const id of applier.members.keys()) {
      if (id === self || transport.connectedSince(id) === undefined) continue;
      const begin = clock.monotonic();
      const took = () => metrics.roundTrips.observe({ To: id.toString(16) }, (clock.monotonic() - begin) / 1000);
      transport.call(id, FrameKind.ping, new Uint8Array(0), probeMs).then(took, () => {}); // lost: counted as such
    }
  });
}

const probeMs = 4000; // as etcd
