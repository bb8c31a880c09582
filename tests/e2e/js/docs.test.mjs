// The page that shows the description of the API, in a real browser that reaches this server alone.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { blank, hasNoFaults, launch } from "./browser.mjs";
import { base } from "./support.mjs";

let browser;

before(async () => {
  browser = await launch();
});

after(async () => {
  await browser?.close();
});

test("the page shows the routes, tries one, and asks nobody else", async () => {
  const page = await blank(browser, "docs");
  const elsewhere = [];
  await page.route("**", (route) => {
    const { origin, protocol } = new URL(route.request().url());
    if (origin === new URL(base).origin || protocol === "data:") return route.continue();
    elsewhere.push(route.request().url());
    return route.abort();
  });
  await page.goto(`${base}/docs`);
  await page.locator(".opblock-summary-path", { hasText: "/conversations/{user_id}" }).waitFor();

  const health = page.locator("#operations-health-read_health");
  await health.locator(".opblock-summary-control").click();
  await health.getByRole("button", { name: "Try it out" }).click();
  await health.getByRole("button", { name: "Execute" }).click();
  await health.locator(".live-responses-table", { hasText: "auth_mode" }).waitFor();

  assert.deepEqual(elsewhere, []);
  hasNoFaults();
});
