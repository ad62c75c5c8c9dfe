import type { Permission } from "../../proto/generated/authpb.ts";
import type { KeyRange } from "../mvcc/key-index.ts";
import { endText, keyRangeOf } from "../mvcc/range.ts";
import { keyText } from "../mvcc/version.ts";

/** `authpb.Permission.Type` */
export const Access = { read: 0, write: 1, readWrite: 2 } as const;

export type AccessKind = typeof Access.read | typeof Access.write;

/** Keys from `from` up to but without `to` (null: no end). */
type Interval = { from: string; to: string | null };

/**
 * What a user may do: the union of the permissions of its roles. A range is permitted when the union covers all of it,
 * whichever roles the pieces come from.
 */
export class Permissions {
  readonly #read: Interval[];
  readonly #write: Interval[];

  constructor(permissions: readonly Permission[]) {
    const of = (other: number) => merged(permissions.filter(({ permType }) => permType !== other).map(intervalOf));
    this.#read = of(Access.write);
    this.#write = of(Access.read);
  }

  allow(access: AccessKind, range: KeyRange): boolean {
    const { from, to } = interval(range);
    return (access === Access.read ? this.#read : this.#write).some(
      (have) => have.from <= from && (have.to === null || (to !== null && to <= have.to)),
    );
  }
}

/** Throws nothing: whether a permission can be granted on these bytes. */
export function isValidRange({ key, rangeEnd }: Pick<Permission, "key" | "rangeEnd">): boolean {
  if (key.length === 0) return false;
  if (rangeEnd.length === 0) return true;
  const end = endText(rangeEnd);
  return end === null || keyText(key) < end;
}

const intervalOf = (permission: Permission): Interval => interval(keyRangeOf(permission));

const interval = ({ key, end }: KeyRange): Interval => ({ from: key, to: end === undefined ? `${key}\0` : end });

function merged(intervals: Interval[]): Interval[] {
  const result: Interval[] = [];
  for (const { from, to } of intervals.toSorted((a, b) => (a.from < b.from ? -1 : 1))) {
    const last = result.at(-1);
    if (last === undefined || (last.to !== null && last.to < from)) result.push({ from, to });
    else if (last.to !== null && (to === null || to > last.to)) last.to = to;
  }
  return result;
}
