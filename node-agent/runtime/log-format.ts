/**
 * The CRI log format: one line `<RFC3339Nano> <stream> <tag> <content>` per line of output. Tag F ends a line; P says
 * that the line goes on in the next entry of the same stream. Everything read is framed at once, an unfinished line as P:
 * nothing is held back that a crash could lose.
 */
export type Stream = "stdout" | "stderr";

/** Frames a piece of output. `nowMs` is wall time. */
export function frameLog(stream: Stream, chunk: Buffer, nowMs: number): Buffer {
  const stamp = `${new Date(nowMs).toISOString()} ${stream}`;
  const full = Buffer.from(`${stamp} F `);
  const partial = Buffer.from(`${stamp} P `);
  const parts: Buffer[] = [];
  for (let start = 0; start < chunk.length; ) {
    const newline = chunk.indexOf(0x0a, start);
    const end = Math.min(newline === -1 ? chunk.length : newline, start + maxLineBytes);
    const whole = end === newline;
    parts.push(whole ? full : partial, chunk.subarray(start, end), lineEnd);
    start = whole ? end + 1 : end;
  }
  return Buffer.concat(parts);
}

const lineEnd = Buffer.from("\n");
/** containerd's max_container_log_line_size. */
const maxLineBytes = 16 * 1024;
