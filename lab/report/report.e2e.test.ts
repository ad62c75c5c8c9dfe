import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { peer } from "../../tools/peers.ts";
import { renderReport } from "./report.ts";
import { sampleRun } from "./testing.ts";

const executablePath = peer("chromium");
const screenshots = resolve(".cache/screenshots");

describe.skipIf(!executablePath)("the report in a browser (Debian's chromium)", () => {
  let browser: Browser;
  let dir: string;
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "kubelab-report-"));
    mkdirSync(screenshots, { recursive: true });
    browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"] });
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  test.each(["light", "dark"] as const)("its pictures stand where they should, in %s", async (colorScheme) => {
    const file = join(dir, "report.html");
    writeFileSync(file, renderReport(sampleRun()));
    const page = await browser.newPage({ viewport: { width: 1180, height: 900 }, colorScheme });
    const asked: string[] = [];
    const errors: Error[] = [];
    page.on("request", (request) => asked.push(request.url())).on("pageerror", (error) => errors.push(error));
    await page.goto(`file://${file}`);
    await page.screenshot({ path: join(screenshots, `report-${colorScheme}.png`), fullPage: true });
    expect(await page.textContent("h1")).toBe("kill-leader passed");
    expect(await page.locator("svg.timed").count()).toBe(7); // timeline, latency, throughput, CPU, memory, two close-ups
    expect(await page.locator("path.metric").count()).toBe(6);
    const lanes = await page.locator("svg").first().locator("text.name").allTextContents();
    expect(lanes).toEqual(["etcd-1", "etcd-2", "etcd-3"]);
    expect(await page.locator("svg").first().locator("rect.leader").count()).toBe(3);
    const [fault, down] = await Promise.all(
      ["rect.hit", "rect.down"].map((name) => page.locator("svg").first().locator(name).first().boundingBox()),
    );
    expect(Math.abs(fault!.x - down!.x)).toBeLessThan(3);
    // The pointer on one picture shows the same moment on all of one time.
    await page
      .locator("svg.timed")
      .first()
      .hover({ position: { x: 600, y: 40 } });
    const cursors = await page
      .locator(".cursor")
      .evaluateAll((all) => all.slice(0, 3).map((one) => one.getAttribute("d")!.split(" ")[0]));
    expect(new Set(cursors).size).toBe(1);
    expect(await page.textContent("#now")).toMatch(/^\d+\.\d{3} s$/);
    const wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    expect(wide).toBe(0);
    expect(asked).toEqual([`file://${file}`]);
    expect(errors).toEqual([]);
    await page.close();
  });
});
