import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { UnaryHandler } from "../../net/grpc-server.ts";
import { type Method, Reader, Writer } from "../../proto/wire.ts";

/** grpc.health.v1 (grpc.io, "GRPC Health Checking Protocol"): two messages of one field each, so written by hand. */
export const HealthService = {
  Check: {
    path: "/grpc.health.v1.Health/Check",
    kind: "unary",
    request: {
      encode: (m) =>
        Writer.create()
          .uint32(10)
          .string(m.service ?? "")
          .finish(),
      write: (m, w) => w.uint32(10).string(m.service ?? ""),
      decode: (bytes) => HealthService.Check.request.read(Reader.create(bytes), bytes.length),
      read(reader, end) {
        const message = { service: "" };
        while (reader.pos < end) {
          const tag = reader.uint32();
          if (tag === 10) message.service = reader.string();
          else reader.skipType(tag & 7);
        }
        return message;
      },
    },
    response: {
      encode: (m) =>
        Writer.create()
          .uint32(8)
          .int32(m.status ?? 0)
          .finish(),
      write: (m, w) => w.uint32(8).int32(m.status ?? 0),
      decode: (bytes) => HealthService.Check.response.read(Reader.create(bytes), bytes.length),
      read(reader, end) {
        const message = { status: 0 };
        while (reader.pos < end) {
          const tag = reader.uint32();
          if (tag === 8) message.status = reader.int32();
          else reader.skipType(tag & 7);
        }
        return message;
      },
    },
  } as Method<{ service: string }, { status: number }, "unary">,
};

const [serving, notServing] = [1, 2];

/** As etcd: the whole server, or nothing of that name; not serving while no leader is known. */
export function healthHandlers(hasLeader: () => boolean) {
  const Check: UnaryHandler<{ service: string }, { status: number }> = ({ service }) => {
    if (service !== "") throw new GrpcError(Code.NotFound, "unknown service");
    return { status: hasLeader() ? serving! : notServing! };
  };
  return { Check };
}
