// A browser for the suites of the chat page, and what they do on it.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { base } from "./support.mjs";

const PATIENCE_MS = 30_000; // for what must come; only a failure waits

const faults = [];

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
    ],
  });

// A page of a browser that knows nothing, before it is opened.
export async function blank(browser, user) {
  const context = await browser.newContext();
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.on("pageerror", (error) => faults.push(`${user}: ${error}`));
  page.on("console", (said) => said.type() === "error" && faults.push(`${user}: ${said.text()}`));
  return page;
}

// The chat page, opened.
export async function visit(browser, user) {
  const page = await blank(browser, user);
  await page.goto(base);
  return page;
}

// Asserts that the browser has had nothing to complain of, but for `expected`.
export function hasNoFaults(expected) {
  const others = faults.splice(0).filter((fault) => !expected?.test(fault));
  assert.deepEqual(others, []);
}

export const isOnline = (page) => page.getByText("online", { exact: true }).waitFor();

export async function say(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

export const message = (page, text) => page.locator(".message", { hasText: text });
