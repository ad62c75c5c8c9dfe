/** What came of one test file or one experiment on one store. */
export interface Cell {
  good: boolean;
  text: string;
}

/** Markdown; a row has a cell for each store, in their order. */
export function inTable(stores: readonly string[], rows: ReadonlyMap<string, readonly Cell[]>): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    line(["", ...stores]),
    line(["---", ...stores.map(() => "---")]),
    ...[...rows].map(([row, cells]) => line([row, ...stores.map((_, i) => cells[i]?.text ?? "")])),
  ].join("\n");
}

const [begin, end] = ["<!-- swap-matrix: made by `npm run swap-matrix` -->", "<!-- swap-matrix ends -->"];

/** The page with this in place of what stood between its marks; a page without them gets both at its end. */
export function replaceTable(page: string, table: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  const made = `${begin}\n\n${table}\n\n${end}`;
  if (from < 0 || to < from) return `${page}${page && "\n"}${made}\n`;
  return page.slice(0, from) + made + page.slice(to + end.length);
}
