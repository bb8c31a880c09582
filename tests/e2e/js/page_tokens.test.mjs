// The chat page in a real browser, where users have accounts: signing in, staying so, and leaving.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PASSWORD, bearer, mint, person, register } from "./accounts.mjs";
import { blank, hasNoFaults, isOnline, launch, message, say, visit } from "./browser.mjs";
import { png } from "./files.mjs";
import { User, base, fails, http, ok } from "./support.mjs";

const UNAUTHORIZED = /status of 401/; // the browser's word for the answer
const REFRESH = "**/api/auth/refresh";

// Longer than a page takes to load and to connect; what ends with the token waits for its end.
const SHORT_LIFE_S = 8;

let browser;

before(async () => {
  browser = await launch();
});

after(async () => {
  User.closeAll();
  await browser?.close();
});

async function logIn(page, name, password = PASSWORD) {
  await page.locator("#log-in-name").fill(name);
  await page.locator("#log-in-password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

// The page of somebody who has an account, signed in.
async function signIn({ username }) {
  const page = await visit(browser, username);
  await logIn(page, username);
  await isOnline(page);
  return page;
}

// The page of somebody whose first access token is another one than the server gave.
async function signInWith(user, token, prepare = () => {}) {
  const page = await blank(browser, user.username);
  await prepare(page);
  const handshakes = count(page, /\/socket\.io\/\?EIO=4&transport=polling(?!.*sid=)/);
  await page.route("**/api/auth/login", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), access_token: token } });
  });
  await page.goto(base);
  await logIn(page, user.username);
  return { page, handshakes };
}

// The next request there brings a token that is not good.
function spoilOnce(page, path) {
  const spoil = (route) => {
    const headers = { ...route.request().headers(), ...bearer("spoiled") };
    return route.continue({ headers });
  };
  return page.route(path, spoil, { times: 1 });
}

// Counts the requests of a page to somewhere.
function count(page, where) {
  const seen = { count: 0 };
  page.on("request", (request) => (seen.count += where.test(request.url())));
  return seen;
}

async function openDirect(page, name) {
  await page.locator("#direct-id").fill(name);
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByRole("heading", { name, exact: true }).waitFor();
}

const refreshToken = (page) => page.evaluate(() => sessionStorage.getItem("banter.refresh_token"));
const logInForm = (page) => page.locator("#log-in").waitFor();
const fault = (page, text) => page.locator("#log-in .fault", { hasText: text }).waitFor();

test("who registers is signed in, is known by name, and still is after a reload", async () => {
  const [alice, { user: bob }] = [person("alice"), await register("bob")];
  const page = await visit(browser, alice.username);
  await page.getByRole("link", { name: "Create an account" }).click();
  await page.locator("#register-name").fill(alice.username);
  await page.locator("#register-email").fill(alice.email);
  await page.locator("#register-password").fill(alice.password);
  await page.getByRole("button", { name: "Create account" }).click();
  await isOnline(page);
  assert.equal(new URL(page.url()).hash, "", "who leaves later meets the form to sign in");
  await page.locator("#me", { hasText: alice.username }).waitFor();

  const other = await signIn(bob);
  await openDirect(page, bob.username);
  await say(page, "hello");
  const chat = other.locator("#direct-list button", { hasText: alice.username });
  await chat.locator(".badge", { hasText: "1" }).waitFor();
  await chat.click();
  await message(other, "hello").locator(".author", { hasText: alice.username }).waitFor();
  await message(page, "hello").locator(`.ticks[title="Read by ${bob.username}"]`).waitFor();
  await other.getByLabel("Message", { exact: true }).pressSequentially("hi");
  await page.locator("#life", { hasText: `${bob.username} typing` }).waitFor();
  await other.locator("#file").setInputFiles({ name: "dot.png", mimeType: "image/png", buffer: png });
  await other.getByText("dot.png is ready to send").waitFor();
  await say(other, "a picture");
  await message(page, "a picture").locator("img").waitFor();

  await page.reload();
  await isOnline(page);
  await page.locator("#me", { hasText: alice.username }).waitFor();
  await openDirect(page, bob.username);
  await message(page, "hello").waitFor();
  const kept = await page.evaluate(() => [localStorage.length, Object.values(sessionStorage).join()]);
  assert.deepEqual(kept, [0, await refreshToken(page)]);
  hasNoFaults();
});

test("members of a group are named, and a name that nobody has is told", async () => {
  const people = await Promise.all(["alice", "bob", "carol"].map(register));
  const [alice, bob, carol] = people.map(({ user }) => user);
  const [left, right] = [await signIn(alice), await signIn(carol)];
  await left.getByText("New group").click();
  await left.locator("#group-name").fill("friends");
  await left.locator("#group-members").fill(`${bob.username}, nobody-at-all`);
  await left.getByRole("button", { name: "Create" }).click();
  await left.locator(".toast.bad", { hasText: "There is no user named nobody-at-all" }).waitFor();
  await left.locator("#group-members").fill(bob.username);
  await left.getByRole("button", { name: "Create" }).click();
  await left.locator("#members", { hasText: `${alice.username}, ${bob.username}` }).waitFor();
  await left.locator("#member-id").fill(carol.username);
  await left.getByRole("button", { name: "Add" }).click();
  await right.getByText("You have been added to group: friends").waitFor();
  await left.locator(".toast", { hasText: `${carol.username} has been added` }).waitFor();
  await right.locator("#group-list button", { hasText: "friends" }).click();
  await right.locator("#members", { hasText: bob.username }).waitFor();
  hasNoFaults();
});

test("a wrong password and a name that is taken are told", async () => {
  const { user } = await register("alice");
  const page = await visit(browser, user.username);
  const button = page.getByRole("button", { name: "Sign in" });
  await page.route("**/api/auth/login", async (route) => {
    assert.ok(await button.isDisabled(), "it can't be sent twice");
    await route.continue();
  });
  await logIn(page, user.username, "wrong password");
  await page.locator("#log-in .fault:not(:empty)").waitFor();
  await page.locator("#log-in button:enabled").waitFor();
  assert.equal(await refreshToken(page), null);
  await page.getByRole("link", { name: "Create an account" }).click();
  await page.locator("#register").waitFor();
  await page.locator("#register .fault:empty").waitFor({ state: "attached" });
  await page.locator("#register-name").fill(user.username);
  await page.locator("#register-email").fill("new@example.com");
  await page.locator("#register-password").fill(PASSWORD);
  await page.getByRole("button", { name: "Create account" }).click();
  await page.locator("#register .fault", { hasText: "username" }).waitFor();
  await page.getByRole("link", { name: "I have an account" }).click();
  await logIn(page, user.email);
  await isOnline(page);
  hasNoFaults(/status of 4(01|09)/);
});

test("who leaves is signed out on the server too", async () => {
  const { user } = await register("alice");
  const page = await signIn(user);
  const refresh_token = await refreshToken(page);
  await page.getByRole("button", { name: "Leave" }).click();
  await logInForm(page);
  assert.equal(await page.locator("#log-in .fault").textContent(), "");
  assert.equal(await refreshToken(page), null);
  await fails(401, "POST", "/api/auth/refresh", { json: { refresh_token } });
  await page.reload();
  await logInForm(page);
  hasNoFaults();
});

test("a sign-in that is ended elsewhere ends the page, which says so", async () => {
  const { user } = await register("alice");
  const page = await signIn(user);
  const refresh_token = await refreshToken(page);
  await ok("POST", "/api/auth/logout", { json: { refresh_token } });
  await fault(page, "You have been signed out");
  assert.equal(await refreshToken(page), null);
  assert.ok(await page.locator("#app").isHidden());
  await logIn(page, user.username);
  await isOnline(page);
  hasNoFaults(UNAUTHORIZED);
});

test("a sign-in that has ended while no page was open is told", async () => {
  const { user } = await register("alice");
  const page = await signIn(user);
  const refresh_token = await refreshToken(page);
  await page.goto("about:blank");
  await ok("POST", "/api/auth/logout", { json: { refresh_token } });
  await page.goto(base);
  await fault(page, "Sign in again");
  hasNoFaults(UNAUTHORIZED);
});

test("a token that is about to end is renewed in place", async () => {
  const { user } = await register("alice");
  const token = mint(user.user_id, SHORT_LIFE_S);
  const witness = await User.connect(user.user_id, { token });
  const { page, handshakes } = await signInWith(user, token);
  await page.waitForResponse(REFRESH);
  await isOnline(page);
  // Another socket of the same token ends; that of the page lives on.
  assert.deepEqual(await witness.next("signed_out"), { reason: "token_expired" });
  await openDirect(page, user.username);
  await say(page, "still here");
  await message(page, "still here").waitFor();
  assert.equal(handshakes.count, 1);
  hasNoFaults();
});

test("a page whose token has ended comes back with the next one", async () => {
  const { user } = await register("alice");
  const refuseOnce = (page) => page.route(REFRESH, (route) => route.abort(), { times: 1 });
  const { page, handshakes } = await signInWith(user, mint(user.user_id, SHORT_LIFE_S), refuseOnce);
  // The first renewal that is answered is that after the end.
  await page.waitForResponse(REFRESH);
  await isOnline(page);
  await openDirect(page, user.username);
  await say(page, "back again");
  await message(page, "back again").waitFor();
  assert.equal(handshakes.count, 2);
  assert.equal(await page.locator(".toast.bad").count(), 0);
  hasNoFaults(/net::ERR_FAILED/);
});

test("a token that the server refuses is renewed", async () => {
  const { user } = await register("alice");
  const { page } = await signInWith(user, "no token at all");
  await isOnline(page);
  assert.equal(await page.locator(".toast.bad").count(), 0);
  hasNoFaults();
});

test("requests that are refused share one renewal and are repeated", async () => {
  const [{ user: alice }, bob] = [await register("alice"), await register("bob")];
  const page = await signIn(alice);
  const said = await User.connect(bob.user.user_id, { token: bob.access_token });
  await said.sendDirect(alice.user_id, "before");
  const renewals = count(page, /\/api\/auth\/refresh$/);
  for (const path of ["**/presence?*", "**/messages/**"]) await spoilOnce(page, path);
  await openDirect(page, bob.user.username);
  await message(page, "before").waitFor();
  await page.locator("#life", { hasText: "is online" }).waitFor();
  assert.equal(renewals.count, 1);
  await spoilOnce(page, "**/upload/");
  await page.locator("#file").setInputFiles({ name: "dot.png", mimeType: "image/png", buffer: png });
  await page.getByText("dot.png is ready to send").waitFor();
  assert.equal(renewals.count, 2);
  assert.equal(await page.locator(".toast.bad").count(), 0);
  hasNoFaults(UNAUTHORIZED);
});
