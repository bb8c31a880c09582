// Plain WebSockets as a web page has them: what comes, and the codes with which they close.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { bearer, register } from "./accounts.mjs";
import { blank, hasNoFaults, launch } from "./browser.mjs";
import { User, base, http } from "./support.mjs";

let browser;

before(async () => {
  browser = await launch();
});

after(async () => {
  User.closeAll();
  await browser?.close();
});

// A page on which sockets can be opened, spoken to and read by a number.
async function visit() {
  const page = await blank(browser, "plain");
  await page.goto(base);
  await page.evaluate(() => {
    const sockets = [];
    window.plain = {
      open(path, protocols) {
        const socket = new WebSocket(`ws://${location.host}${path}`, protocols);
        const one = { socket, heard: [], wake: () => {} };
        socket.onmessage = ({ data }) => { one.heard.push(data); one.wake(); };
        one.closed = new Promise((resolve) => { socket.onclose = ({ code }) => resolve(code); });
        return sockets.push(one) - 1;
      },
      send(n, text) {
        const { socket } = sockets[n];
        if (socket.readyState === WebSocket.OPEN) return socket.send(text);
        return new Promise((resolve) => { socket.onopen = () => resolve(socket.send(text)); });
      },
      async next(n) {
        const one = sockets[n];
        while (one.heard.length === 0) await new Promise((wake) => { one.wake = wake; });
        return one.heard.shift();
      },
      closed: (n) => sockets[n].closed,
      close: (n) => sockets[n].socket.close(),
    };
  });
  const call = (name) => (...args) =>
    page.evaluate(([name, args]) => window.plain[name](...args), [name, args]);
  return Object.fromEntries(["open", "send", "next", "closed", "close"].map((n) => [n, call(n)]));
}

test("a page talks with a Socket.IO client, by a token that stands in no address", async () => {
  const [ann, bob] = [await register("ann"), await register("bob")];
  const modern = await User.connect(bob.user.user_id, { token: bob.access_token });
  const page = await visit();
  const [from, to] = [ann.user.user_id, bob.user.user_id];
  const socket = await page.open(`/ws/${from}`, ["bearer", ann.access_token]);
  await page.send(socket, `${from}:${to}:at 12:30`);
  assert.equal((await modern.next("message")).content, "at 12:30");
  await modern.sendDirect(from, "fine");
  assert.equal(await page.next(socket), `${to}:fine`);
  hasNoFaults();
});

test("a page in a room hears what happens there", async () => {
  const ann = await register("ann");
  const made = await http("POST", "/api/rooms/", {
    json: { name: "Lounge" }, headers: bearer(ann.access_token),
  });
  const page = await visit();
  const socket = await page.open(`/api/ws/${made.body.id}`, ["bearer", ann.access_token]);
  await page.send(socket, JSON.stringify({ type: "message", content: "hi", ref: 1 }));
  const frames = [JSON.parse(await page.next(socket)), JSON.parse(await page.next(socket))];
  assert.deepEqual(frames.map(({ type }) => type), ["message", "ack"]);
  assert.equal(frames[1].message._id, frames[0]._id);
  hasNoFaults();
});

test("a page is told by a code why it may not come in, and why it must go", async () => {
  const [ann, bob] = [await register("ann"), await register("bob")];
  const page = await visit();
  const mine = `/ws/${ann.user.user_id}`;
  for (const [protocols, code] of [[[], 4401], [["bearer", "x.y.z"], 4401],
    [["bearer", bob.access_token], 4403]]) {
    assert.equal(await page.closed(await page.open(mine, protocols)), code);
  }
  const lobby = await page.open("/ws", ["bearer", ann.access_token]);
  assert.equal(JSON.parse(await page.next(lobby)).content, `${ann.user.username} joined`);
  assert.equal(await page.closed(await page.open("/ws", ["bearer", ann.access_token])), 4409);

  const answer = await http("POST", "/api/auth/logout", {
    json: { everywhere: true }, headers: bearer(ann.access_token),
  });
  assert.equal(answer.status, 200);
  assert.equal(await page.closed(lobby), 4401);
  hasNoFaults();
});
