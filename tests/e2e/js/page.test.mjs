// The chat page in a real browser: two people, each with a page.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { hasNoFaults, isOnline, launch, message, say, visit } from "./browser.mjs";
import { png } from "./files.mjs";
import { User, fresh } from "./support.mjs";

let browser;

before(async () => {
  browser = await launch();
});

after(async () => {
  User.closeAll();
  await browser?.close();
});

async function signIn(user) {
  const page = await visit(browser, user);
  await page.getByLabel("Your user id").fill(user);
  await page.getByRole("button", { name: "Connect" }).click();
  await isOnline(page);
  return page;
}

async function openDirect(page, user) {
  await page.getByLabel("User id", { exact: true }).fill(user);
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByRole("heading", { name: user }).waitFor();
}

test("two people chat, read, edit, delete and send a picture", async () => {
  const [alice, bob] = [fresh("alice"), fresh("bob")];
  const [left, right] = [await signIn(alice), await signIn(bob)];
  await openDirect(left, bob);
  const hostile = "<img src=x onerror=\"document.title='taken over'\"> hello";
  await say(left, hostile);

  // Bob has not opened the chat: a badge tells him, and Alice sees one tick.
  await right.locator("#direct-list button", { hasText: alice }).locator(".badge", { hasText: "1" }).waitFor();
  await message(left, "hello").locator(".ticks:not(.read)").waitFor();
  await right.locator("#direct-list button", { hasText: alice }).click();
  await message(right, hostile).waitFor();
  await message(left, "hello").locator(".ticks.read").waitFor();
  assert.equal(await right.title(), "Banter");

  await message(left, "hello").hover();
  await message(left, "hello").getByRole("button", { name: "Edit" }).click();
  await left.getByLabel("New text").fill("good evening");
  await left.getByRole("button", { name: "Save" }).click();
  await message(right, "good evening").getByText("edited").waitFor();

  await right.locator("#file").setInputFiles({ name: "dot.png", mimeType: "image/png", buffer: png });
  await right.getByText("dot.png is ready to send").waitFor();
  await say(right, "a picture");
  const picture = message(left, "a picture").locator("img");
  await picture.waitFor();
  await left.waitForFunction((img) => img.complete && img.naturalWidth === 1, await picture.elementHandle());

  await message(left, "good evening").hover();
  await message(left, "good evening").getByRole("button", { name: "Delete for everyone" }).click();
  await message(right, "good evening").waitFor({ state: "detached" });
  await message(left, "a picture").hover();
  await message(left, "a picture").getByRole("button", { name: "Delete for me" }).click();
  await message(left, "a picture").waitFor({ state: "detached" });
  assert.equal(await message(right, "a picture").count(), 1);

  // What was hidden stays hidden, and what was not comes back from history.
  await say(left, "stays");
  await message(right, "stays").waitFor();
  const again = await signIn(alice);
  await openDirect(again, bob);
  await message(again, "stays").waitFor();
  assert.equal(await again.locator(".message").count(), 1);
  hasNoFaults();
});

test("the page shows who is there and who types", async () => {
  const [alice, bob] = [fresh("alice"), await User.connect(fresh("bob"))];
  const page = await signIn(alice);
  await openDirect(page, bob.id);
  await page.locator("#life", { hasText: "is online" }).waitFor();
  bob.listen("typing");
  await page.getByLabel("Message", { exact: true }).pressSequentially("hi");
  assert.equal((await bob.next("typing")).is_typing, true);
  await say(page, "hi");
  assert.equal((await bob.next("typing")).is_typing, false);
  await bob.do("typing_start", { to: alice, type: "direct" });
  await page.locator("#life", { hasText: `${bob.id} typing` }).waitFor();
  await bob.do("typing_stop", { to: alice, type: "direct" });
  await page.locator("#life", { hasText: "is online" }).waitFor();
  bob.close();
  await page.locator("#life", { hasText: "last seen" }).waitFor();
  hasNoFaults();
});

test("a group is made, joined by a new member and chatted in", async () => {
  const [alice, bob] = [fresh("alice"), fresh("bob")];
  const [left, right] = [await signIn(alice), await signIn(bob)];
  const name = fresh("friends");
  await left.getByText("New group").click();
  await left.getByLabel("Name", { exact: true }).fill(name);
  await left.getByRole("button", { name: "Create" }).click();
  await left.getByRole("heading", { name }).waitFor();
  await left.getByLabel("User id to add").fill(bob);
  await left.getByRole("button", { name: "Add" }).click();

  await right.getByText(`You have been added to group: ${name}`).waitFor();
  await right.locator("#group-list button", { hasText: name }).click();
  await say(right, "hi all");
  await message(left, "hi all").locator(".author", { hasText: bob }).waitFor();
  await message(right, "hi all").locator(".ticks.read").waitFor();
  hasNoFaults();
});

test("what is unread is told, and what the server refuses is shown", async () => {
  const [alice, bob] = [await User.connect(fresh("alice")), fresh("bob")];
  await alice.sendDirect(bob, "while you were away");
  const page = await signIn(bob);
  await page.locator(".toast", { hasText: "unread" }).waitFor();
  await openDirect(page, alice.id);
  await message(page, "while you were away").waitFor();
  await say(page, "back again");
  const { client_id } = await alice.next("message", { content: "back again" });
  assert.match(client_id, /^[0-9a-f]{32}$/);

  const bytes = Buffer.from("not a picture");
  await page.locator("#file").setInputFiles({ name: "x.png", mimeType: "image/png", buffer: bytes });
  await page.locator(".toast.bad").waitFor();
  assert.ok(await page.locator("#preview").isHidden());
});

test("a lost connection is shown and comes back by itself", async () => {
  const [alice, bob] = [fresh("alice"), await User.connect(fresh("bob"))];
  const page = await signIn(alice);
  await openDirect(page, bob.id);
  await page.context().setOffline(true);
  await page.evaluate(() => window.dispatchEvent(new Event("offline")));
  await page.getByText("reconnecting").waitFor();
  await bob.sendDirect(alice, "did you miss me?");
  await page.context().setOffline(false);
  await isOnline(page);
  await message(page, "did you miss me?").waitFor();
});
