import { type Clock, sleep } from "../base/clock.ts";
import { HealthService, HealthCheckResponse_ServingStatus as Status } from "../proto/generated/health.ts";
import { Code, GrpcError } from "./grpc-error.ts";
import type { Handlers } from "./grpc-server.ts";

export { HealthService };

/** As etcd: the whole server, or nothing of that name. */
export function healthHandlers(isServing: () => boolean, clock: Clock): Handlers<typeof HealthService> {
  const statusOf = (service: string) =>
    service !== "" ? Status.SERVICE_UNKNOWN : isServing() ? Status.SERVING : Status.NOT_SERVING;
  return {
    Check({ service }) {
      const status = statusOf(service);
      if (status === Status.SERVICE_UNKNOWN) throw new GrpcError(Code.NotFound, "unknown service");
      return { status };
    },
    /** What it is now, then each change. */
    async Watch({ service }, { signal }, send) {
      for (let last: number | undefined; !signal.aborted; await sleep(clock, lookMs, signal)) {
        const status = statusOf(service);
        if (status !== last) send({ status });
        last = status;
      }
    },
  };
}

const lookMs = 100;
