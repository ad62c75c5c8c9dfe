import type { Clock } from "../base/clock.ts";
import { type MessageCodec, type Method, Reader, Writer } from "../proto/wire.ts";
import { Code, GrpcError } from "./grpc-error.ts";
import type { Handlers } from "./grpc-server.ts";

/** grpc.health.v1 (grpc.io, "GRPC Health Checking Protocol"): two messages of one field each, so written by hand. */
const HealthCheckRequest: MessageCodec<{ service: string }> = {
  encode: (m) => HealthCheckRequest.write(m, Writer.create()).finish(),
  write: (m, w) => w.uint32(10).string(m.service ?? ""),
  decode: (bytes) => HealthCheckRequest.read(Reader.create(bytes), bytes.length),
  read(reader, end) {
    const message = { service: "" };
    while (reader.pos < end) {
      const tag = reader.uint32();
      if (tag === 10) message.service = reader.string();
      else reader.skipType(tag & 7);
    }
    return message;
  },
};

const HealthCheckResponse: MessageCodec<{ status: number }> = {
  encode: (m) => HealthCheckResponse.write(m, Writer.create()).finish(),
  write: (m, w) => w.uint32(8).int32(m.status ?? 0),
  decode: (bytes) => HealthCheckResponse.read(Reader.create(bytes), bytes.length),
  read(reader, end) {
    const message = { status: 0 };
    while (reader.pos < end) {
      const tag = reader.uint32();
      if (tag === 8) message.status = reader.int32();
      else reader.skipType(tag & 7);
    }
    return message;
  },
};

const messages = { request: HealthCheckRequest, response: HealthCheckResponse };

export const HealthService = {
  Check: { path: "/grpc.health.v1.Health/Check", kind: "unary", ...messages } as Method<
    { service: string },
    { status: number },
    "unary"
  >,
  Watch: { path: "/grpc.health.v1.Health/Watch", kind: "serverStream", ...messages } as Method<
    { service: string },
    { status: number },
    "serverStream"
  >,
};

const [serving, notServing, serviceUnknown] = [1, 2, 3];

/** As etcd: the whole server, or nothing of that name. */
export function healthHandlers(isServing: () => boolean, clock: Clock): Handlers<typeof HealthService> {
  const statusOf = (service: string) => (service !== "" ? serviceUnknown! : isServing() ? serving! : notServing!);
  return {
    Check({ service }) {
      const status = statusOf(service);
      if (status === serviceUnknown) throw new GrpcError(Code.NotFound, "unknown service");
      return { status };
    },
    /** What it is now, then each change. */
    async Watch({ service }, { signal }, send) {
      let last = statusOf(service);
      send({ status: last });
      await new Promise<void>((resolve) => {
        const cancel = clock.every(lookMs, () => {
          const status = statusOf(service);
          if (status !== last) send({ status });
          last = status;
        });
        const done = () => {
          cancel();
          resolve();
        };
        if (signal.aborted) done();
        else signal.addEventListener("abort", done, { once: true });
      });
    },
  };
}

const lookMs = 100;
