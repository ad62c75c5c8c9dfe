/** Writes a protobuf varint; returns where it ends. */
export function putVarint(into: Buffer, start: number, value: number): number {
  let at = start;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) into[at++] = (rest & 0x7f) | 0x80;
  into[at] = rest;
  return at + 1;
}
