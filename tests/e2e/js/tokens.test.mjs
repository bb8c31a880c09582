// Signing in by token, through the real client: connecting, renewing, being signed out, and requests.
// TRANSPORT and CLIENT say which.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { PASSWORD, bearer, mint, register } from "./accounts.mjs";
import { png } from "./files.mjs";
import {
  User, client, fails, fresh, http, isTime, keys, ok, open, patiently, unprocessable, upload,
} from "./support.mjs";

const LIFE_MS = 1_800_000; // of an access token that the server gives

after(() => User.closeAll());

const connect = ({ user, access_token: token }) => User.connect(user.user_id, { token });

// The same account with an access token of so many seconds.
function lastingFor(seconds, account) {
  return { ...account, access_token: mint(account.user.user_id, seconds) };
}

const ended = (user) =>
  patiently("the end of the socket", (resolve) => user.socket.on("disconnect", resolve));

// The text with which a connection is refused.
async function refusal(who) {
  const socket = open(undefined, who);
  const error = await patiently("the refusal", (resolve, reject) => {
    socket.on("connect_error", resolve);
    socket.on("error", resolve);
    // A client 2 believes that it is connected until it hears otherwise.
    if (client === "4") socket.on("connect", () => reject(new Error("it is let in")));
  });
  socket.close();
  return error.message;
}

// Another sign-in of the same account.
function logIn({ user }) {
  return ok("POST", "/api/auth/login", { json: { username: user.username, password: PASSWORD } });
}

describe("connecting", () => {
  test("a socket is whose its token is", async () => {
    const [ann, bob] = [await register("ann"), await register("bob")];
    const to = await connect(bob);
    const sent = await (await connect(ann)).sendDirect(to.id, "hello");
    assert.equal(sent.from_user_id, ann.user.user_id);
    assert.deepEqual(await to.next("message"), sent);
  });

  test("a token may come as a header", async () => {
    const { user, access_token } = await register("ann");
    const ann = await User.connect(user.user_id, {}, { extraHeaders: bearer(access_token) });
    assert.equal((await ann.sendDirect(ann.id, "x")).from_user_id, user.user_id);
  });

  test("a token of the application's own backend is as good", async () => {
    const id = fresh("a user of its own");
    const user = await User.connect(id, { token: mint(id, 600) });
    assert.equal((await user.sendDirect(id, "x")).from_user_id, id);
  });

  test("without a good token nobody is let in, and hears why", async () => {
    const { user, access_token } = await register("ann");
    assert.equal(await refusal({}), "auth.token is required");
    assert.equal(await refusal({ user_id: user.user_id }), "auth.token is required");
    assert.equal(await refusal({ token: "no token" }), "The token is not valid");
    assert.equal(await refusal({ token: mint(user.user_id, -60) }), "The token has expired");
    const other = "auth.user_id is another user than the token's";
    assert.equal(await refusal({ token: access_token, user_id: fresh("bob") }), other);
    await ok("POST", "/api/auth/logout", { headers: bearer(access_token) });
    assert.equal(await refusal({ token: access_token }), "The token has been revoked; sign in again");
  });
});

describe("the end of a sign-in", () => {
  test("who signs out is told so, and disconnected, on this device alone", async () => {
    const ann = await register("ann");
    const [here, there] = [await connect(ann), await connect(await logIn(ann))];
    const end = ended(here);
    const done = await ok("POST", "/api/auth/logout", { headers: bearer(ann.access_token) });
    assert.deepEqual(done, { message: "Signed out" });
    assert.deepEqual(await here.next("signed_out"), { reason: "signed_out" });
    assert.equal(await end, "io server disconnect");
    await there.sendDirect(there.id, "still here");
  });

  test("a new password ends them all", async () => {
    const ann = await register("ann");
    const devices = [await connect(ann), await connect(await logIn(ann))];
    const json = { old_password: PASSWORD, new_password: `another ${PASSWORD}` };
    const next = await ok("PUT", "/api/auth/password", { json, headers: bearer(ann.access_token) });
    for (const device of devices) {
      assert.deepEqual(await device.next("signed_out"), { reason: "signed_out" });
    }
    await fails(401, "GET", "/api/auth/me", { headers: bearer(ann.access_token) });
    await connect(next);
  });

  test("a socket whose token has ended is told so, and disconnected", async () => {
    const ann = await connect(lastingFor(4, await register("ann")));
    const end = ended(ann);
    assert.deepEqual(await ann.next("signed_out"), { reason: "token_expired" });
    assert.equal(await end, "io server disconnect");
  });
});

describe("renewing", () => {
  test("a socket is told in time, and lives on with the next token", async () => {
    const account = await register("ann");
    const ann = await connect(lastingFor(30, account));
    const told = await ann.next("token_expiring");
    keys(told, "expires_at");
    isTime(told.expires_at);
    assert.ok(Date.parse(told.expires_at) < Date.now() + 30_000);
    const ack = await ann.do("refresh_token", { token: account.access_token });
    keys(ack, "ok expires_at");
    assert.ok(Date.parse(ack.expires_at) > Date.now() + LIFE_MS / 2);
    await ann.sendDirect(ann.id, "still here");
  });

  test("a refresh token gets the next two, and then is used", async () => {
    const account = await register("ann");
    const ann = await connect(account);
    const next = await ann.do("refresh_token", { refresh_token: account.refresh_token });
    keys(next, "ok access_token expires_at refresh_token");
    const { user_id } = await ok("GET", "/api/auth/me", { headers: bearer(next.access_token) });
    assert.equal(user_id, ann.id);
    await ok("POST", "/api/auth/refresh", { json: { refresh_token: next.refresh_token } });
  });

  test("what is no token, or another user's, renews nothing", async () => {
    const [ann, bob] = [await connect(await register("ann")), await register("bob")];
    await ann.refused("unauthorized", "refresh_token", { token: "no token" });
    await ann.refused("unauthorized", "refresh_token", { refresh_token: "no token" });
    await ann.refused("forbidden", "refresh_token", { token: bob.access_token });
    await ann.refused("invalid_payload", "refresh_token", {});
    await ann.sendDirect(ann.id, "still here");
  });

  test("a client that is asked for its token on each connection comes back with the newest", async () => {
    const account = await register("ann");
    let token = account.access_token;
    const ann = await connect(account);
    const { socket } = ann;
    if (client === "4") socket.auth = (give) => give({ token });
    ({ access_token: token } = await logIn(account));
    if (client === "2") socket.io.opts.query = { token };
    const end = ended(ann);
    await ok("POST", "/api/auth/logout", { json: { refresh_token: account.refresh_token } });
    await end;
    socket.connect();
    await patiently("the new connection", (resolve, reject) => {
      socket.on("connect", resolve);
      socket.on("connect_error", reject);
      socket.on("error", reject);
    });
    await ann.sendDirect(ann.id, "back again");
  });

  test("a client that has lost its connection comes back by itself with the newest", async () => {
    const account = await register("ann");
    const ann = await connect(account);
    const { socket } = ann;
    const { access_token: token } = await logIn(account);
    await ann.do("refresh_token", { token });
    // What it connected with is worth nothing any more; what it lives on is.
    await ok("POST", "/api/auth/logout", { json: { refresh_token: account.refresh_token } });
    if (client === "4") socket.auth = (give) => give({ token });
    else socket.io.opts.query = { token };
    const back = patiently("the new connection", (resolve) => socket.on("connect", resolve));
    socket.io.reconnection(true);
    socket.io.engine.close();
    await back;
    await ann.sendDirect(ann.id, "back again");
  });
});

describe("requests", () => {
  test("they are of whom the token says", async () => {
    const [account, { user }] = [await register("ann"), await register("bob")];
    const headers = bearer(account.access_token);
    const [ann, bob] = [await connect(account), user.user_id];
    const json = { name: "ours", member_ids: [ann.id, bob] };
    const group = await ok("POST", "/groups/", { json, headers });
    assert.deepEqual([group.created_by, group.owner_id], [ann.id, ann.id]);
    const [row] = await ok("GET", `/groups/${ann.id}`, { headers });
    assert.equal(row._id, group._id);
    const sent = await ann.sendDirect(bob, "hello");
    const [message] = await ok("GET", `/messages/${ann.id}/${bob}`, { headers });
    assert.equal(message.id, sent.id);
    await ok("DELETE", `/messages/${sent.id}`, { headers });
    const { users } = await ok("GET", "/user/get-users", { query: { limit: 200 }, headers });
    assert.ok(users.some(({ user_id, username }) => user_id === bob && username === user.username));
  });

  test("without a good token they are a 401, which says what is wanted", async () => {
    const { user } = await register("ann");
    for (const headers of [{}, bearer("no token"), bearer(mint(user.user_id, -60))]) {
      const answer = await http("GET", `/groups/${user.user_id}`, { headers });
      assert.equal(answer.status, 401);
      assert.equal(answer.headers.get("www-authenticate"), "Bearer");
      keys(answer.body, "detail");
    }
    // The answer is heard although the file was on its way.
    const large = Buffer.alloc(4 << 20);
    for (const headers of [{}, bearer("no token")]) {
      assert.equal((await upload(large, "dot.png", "/upload/", headers)).status, 401);
    }
    await fails(401, "POST", "/api/auth/login", { json: { username: user.username, password: "wrong" } });
  });

  test("in the name of others they are a 403", async () => {
    const [ann, bob] = [await register("ann"), await register("bob")];
    const [headers, other] = [bearer(ann.access_token), bob.user.user_id];
    await fails(403, "GET", `/groups/${other}`, { headers });
    await fails(403, "GET", `/messages/${other}/${ann.user.user_id}`, { headers });
    const json = { name: "theirs", member_ids: [other], created_by: other };
    await fails(403, "POST", "/groups/", { json, headers });
  });

  test("a file is put with a token, and read with its link alone", async () => {
    const { access_token } = await register("ann");
    const { status, body } = await upload(png, "dot.png", "/upload/", bearer(access_token));
    assert.equal(status, 200);
    assert.deepEqual((await http("GET", body.url)).body, png);
  });

  test("names are given once, and what is no account is a 422", async () => {
    const { user } = await register("ann");
    const json = { username: user.username.toUpperCase(), email: "x@example.com", password: PASSWORD };
    await fails(409, "POST", "/api/auth/register", { json });
    await unprocessable("POST", "/api/auth/register", { json: { ...json, username: "no name" } });
  });
});
