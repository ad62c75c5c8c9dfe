import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { faultProblems } from "../faults/types.ts";
import { deedsOf } from "./schedule.ts";
import { parseExperiment } from "./schema.ts";

const dir = join(import.meta.dirname, "library");
for (const file of readdirSync(dir))
  test(`${file} is a whole experiment, ends some time after its last deed, and expects something`, () => {
    const experiment = parseExperiment(readFileSync(join(dir, file), "utf8"), file, faultProblems);
    const deeds = deedsOf(experiment, 1);
    expect(deeds.length).toBeGreaterThan(0);
    for (const deed of deeds) {
      const forMs = deed.kind === "fault" ? (deed.for ?? 0) : 0;
      expect(deed.at + forMs).toBeLessThanOrEqual(experiment.duration - 2000);
    }
    expect(Object.keys(experiment.expect).length).toBeGreaterThan(0);
  });
