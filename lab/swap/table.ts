/** What came of one test file or one experiment on one store. */
export interface Cell {
  good: boolean;
  text: string;
}

/** vitest's. */
export interface TestReport {
  numPassedTests: number;
  testResults: {
    status: string;
    message: string;
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
  }[];
}

/** What needs a hook in the member is refused by name where the member is another program: that is as it should be. */
export const noHook = /is another program .*: it has no hooks for this/;

/** A file that failed without a test that did (it could not be loaded, or prepared) has failed, too. */
export function cellOf({ numPassedTests: passed, testResults }: TestReport): { cell: Cell; problems: string[] } {
  const all = testResults.flatMap(({ assertionResults }) => assertionResults);
  const failed = all.filter(({ status }) => status === "failed");
  const [refused, wrong] = [true, false].map((refusal) =>
    failed.filter(({ failureMessages: [first = ""] }) => noHook.test(first) === refusal),
  ) as [typeof all, typeof all];
  const files = testResults.filter(({ status, assertionResults }) => {
    return status === "failed" && !assertionResults.some(({ status }) => status === "failed");
  });
  const counts = {
    passed,
    FAILED: wrong.length + files.length,
    refused: refused.length,
    skipped: all.filter(({ status }) => status === "skipped" || status === "pending").length,
  };
  const told = Object.entries(counts).filter(([word, count]) => word === "passed" || count > 0);
  const text = told.map(([word, count]) => `${count} ${word}`).join(", ");
  const problems = [
    ...testResults.flatMap(({ message }) => message || []),
    ...wrong.map(({ fullName, failureMessages }) => `FAILED ${fullName}\n${failureMessages.join("\n")}`),
  ];
  return { cell: { good: counts.FAILED === 0 && passed > 0, text }, problems };
}

const [begin, end] = ["<!-- swap-matrix: made by `npm run swap-matrix` -->", "<!-- swap-matrix ends -->"];

/**
 * Markdown: the rows of the page's table, those in `rows` anew, tests before experiments. A row has a cell for each store,
 * in their order, and `made`: when and on what it was run. A table of other stores is not gone on with.
 */
export function mergeRows(
  page: string,
  stores: readonly string[],
  made: string,
  rows: ReadonlyMap<string, readonly Cell[]>,
): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const head = line(["", ...stores, "made"]);
  const [, ...old] = page.split(begin)[1]?.split(end)[0]?.trim().split(`${head}\n`) ?? [];
  const lines = new Map(
    (old[0] ?? "")
      .split("\n")
      .slice(1)
      .map((text) => [text.split(" | ")[0]!.slice(2), text]),
  );
  lines.delete("");
  for (const [row, cells] of rows) {
    const texts = stores.map((_, i) => (cells[i]?.text ?? "").replaceAll("|", "\\|").replaceAll("\n", " "));
    lines.set(row, line([row, ...texts, made]));
  }
  const isTest = (text: string) => text.startsWith("| tests");
  const all = [...lines.values()];
  return [
    head,
    line(["---", ...stores.map(() => "---"), "---"]),
    ...all.filter(isTest),
    ...all.filter((text) => !isTest(text)),
  ].join("\n");
}

/** The page with this in place of what stood between its marks; a page without them gets both at its end. */
export function replaceTable(page: string, table: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  const made = `${begin}\n\n${table}\n\n${end}`;
  if (from < 0 || to < from) return `${page}${page && "\n"}${made}\n`;
  return page.slice(0, from) + made + page.slice(to + end.length);
}
