import type { Clock } from "../../base/clock.ts";
import { planBolt, sizeOf } from "../bolt/plan.ts";
import { type Bolt, BoltError, openBolt } from "../bolt/reader.ts";
import { writeBolt } from "../bolt/writer.ts";
import type { StoreView } from "../mvcc/store.ts";
import { type Disk, writeWhole } from "../wal/disk.ts";
import { inSlices } from "./slices.ts";
import { type State, stateBuckets } from "./state.ts";

/** The state file as it will be: its size, and its bytes from first to last. Requests go on while it is made. */
export async function planDb(state: State, view: StoreView, clock: Clock) {
  const plan = await inSlices(planBolt(stateBuckets(state, view)), clock);
  return { size: sizeOf(plan), chunks: () => writeBolt(plan) };
}

export async function writeDb(path: string, state: State, view: StoreView, disk: Disk, clock: Clock): Promise<number> {
  const { size, chunks } = await planDb(state, view, clock);
  await writeWhole(path, disk, async (file) => {
    let at = 0;
    let synced = 0;
    for (const chunk of chunks()) {
      await file.write(at, chunk);
      at += chunk.length;
      if (at - synced < syncBytes) continue;
      await file.sync();
      synced = at;
    }
  });
  return size;
}

export async function withDb<R>(path: string, disk: Disk, use: (db: Bolt) => Promise<R>): Promise<R> {
  const file = await disk.open(path, "existing");
  try {
    return await use(await openBolt(file, path));
  } catch (error) {
    // What a page holds is in no checksum: JSON or a message that is none.
    if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error;
    throw new BoltError(`${path} is damaged: ${error.message}`, { cause: error });
  } finally {
    await file.close();
  }
}

/** Little by little: a sync of everything at the end would have the log's own wait behind it. */
const syncBytes = 4 << 20;
