import type { Container, Probe } from "../api/generated/core-v1.ts";
import { Code, GrpcError } from "../net/grpc-error.ts";
import type { ContainerInfo, CriRuntime } from "./cri-runtime.ts";
import { httpGet, type ProbeOutcome, tcpSocket } from "./probe-net.ts";

/** One try of a probe of any kind; never throws. */
export async function runProbe(
  runtime: CriRuntime,
  probe: Probe,
  container: Container,
  { id }: ContainerInfo,
  podIP: string,
): Promise<ProbeOutcome> {
  const timeoutSeconds = probe.timeoutSeconds ?? 1;
  const command = probe.exec?.command ?? [];
  try {
    if (probe.httpGet) return await httpGet(probe.httpGet, container, podIP, timeoutSeconds * 1000);
    if (probe.tcpSocket) return await tcpSocket(probe.tcpSocket, container, podIP, timeoutSeconds * 1000);
    if (!probe.exec) return { ok: false, message: "this node agent has no grpc probes" };
    const { code, out } = await runtime.execSync(id, command, timeoutSeconds);
    return { ok: code === 0, message: out };
  } catch (error) {
    // A header that HTTP does not know, say: a Pod's spec must not end the agent.
    const late = error instanceof GrpcError && error.code === Code.DeadlineExceeded;
    const { message: text } = error as Error;
    const message = late ? `command timed out: "${command.join(" ")}" timed out after ${timeoutSeconds}s` : text;
    return { ok: false, message };
  }
}
