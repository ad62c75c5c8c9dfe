/**
 * The safety properties of Figure 3 of the raft paper, watched from outside: the checker sees who leads, what each member's
 * log holds and what it applies, and knows nothing of how raft came to it.
 */
export type LogEntry = { index: number; term: number; data: Uint8Array };

type MemberLog = { member: bigint; log: readonly LogEntry[] };

export class RaftSafety {
  readonly violations: string[] = [];
  readonly #leaders = new Map<number, bigint>(); // by term
  readonly #applied: LogEntry[] = []; // what any member applied, by index - 1
  readonly #committedBy: number[] = []; // the term in which the first of them applied it, by index - 1
  readonly #position = new Map<bigint, number>(); // each member's last applied index in its present life

  /**
   * Election safety: at most one leader a term. Leader completeness: it has every entry that is known to be committed in an
   * earlier term (a leader may be elected late, when others are past its term). `start`: a snapshot stands for the log up to it.
   */
  leads(member: bigint, term: number, log: readonly LogEntry[], start = 0): void {
    const other = this.#leaders.get(term);
    if (other !== undefined && other !== member)
      this.violations.push(`election safety: ${other} and ${member} both lead term ${term}`);
    this.#leaders.set(term, member);
    const missing = this.#applied.find((entry, i) => {
      return i >= start && this.#committedBy[i]! < term && !same(entry, log[i - start]);
    });
    const without = missing && `leads term ${term} without the committed entry ${name(missing)}`;
    if (without) this.violations.push(`leader completeness: ${member} ${without}`);
  }

  /** A member starts again with an empty state machine, or that of a snapshot at `index`; or it takes over one. */
  restarts(member: bigint, index = 0): void {
    this.#position.set(member, index);
  }

  /** State machine safety: every member applies the same entry at each index, each once and in order. `term`: its own. */
  applies(member: bigint, entry: LogEntry, term: number): void {
    const before = this.#position.get(member) ?? 0;
    if (entry.index !== before + 1)
      this.violations.push(`apply order: ${member} applies ${name(entry)} after index ${before}`);
    this.#position.set(member, entry.index);
    const known = this.#applied[entry.index - 1];
    if (known === undefined) {
      this.#applied[entry.index - 1] = entry;
      this.#committedBy[entry.index - 1] = term;
    } else if (!same(known, entry)) {
      this.violations.push(`state machine safety: ${member} applies ${name(entry)}, another applied ${name(known)}`);
    }
  }

  /** Log matching: two logs that have an entry with the same index and term are the same up to it. */
  logs(logs: readonly MemberLog[]): void {
    for (const [i, a] of logs.entries()) for (const b of logs.slice(i + 1)) this.#compare(a, b);
  }

  /** Everything that was applied, in order. */
  get applied(): readonly LogEntry[] {
    return this.#applied;
  }

  #compare(a: MemberLog, b: MemberLog): void {
    const first = Math.max(a.log[0]?.index ?? 0, b.log[0]?.index ?? 0); // before it one of them is compacted
    const rest = (log: readonly LogEntry[]) => log.filter(({ index }) => index >= first);
    const [ours, theirs] = [rest(a.log), rest(b.log)];
    let last = Math.min(ours.length, theirs.length) - 1;
    while (last >= 0 && ours[last]!.term !== theirs[last]!.term) last--;
    for (let i = 0; i <= last; i++) {
      if (same(ours[i]!, theirs[i])) continue;
      this.violations.push(
        `log matching: ${a.member} and ${b.member} agree at ${name(ours[last]!)}, but not at ${name(ours[i]!)}`,
      );
      return;
    }
  }
}

function same(a: LogEntry, b: LogEntry | undefined): boolean {
  if (b === undefined || a.index !== b.index || a.term !== b.term || a.data.length !== b.data.length) return false;
  return a.data === b.data || a.data.every((byte, i) => byte === b.data[i]);
}

const name = ({ index, term }: LogEntry): string => `${index} of term ${term}`;
