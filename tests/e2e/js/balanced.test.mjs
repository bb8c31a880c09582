// Several nodes behind nginx: what belongs to one session comes to one node, and the rest to any.
// The nodes share nothing, so a request that comes to the wrong one fails.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { randomBytes } from "node:crypto";
import { request } from "node:http";
import { User, base, eventually, fresh, need, patiently } from "./support.mjs";

const nodes = need("NODES").split(" ");
const CLIENTS = 12;

after(() => User.closeAll());

async function sockets(node) {
  const text = await (await fetch(`${node}/metrics`)).text();
  return Number(/^ws_connections_active (\S+)$/m.exec(text)[1]);
}

// How many sockets each node has, once there are as many as there should be.
const spread = (count) =>
  eventually(
    `${count} sockets`,
    () => Promise.all(nodes.map(sockets)),
    (each) => each.reduce((a, b) => a + b) === count,
  );

// Connects many at once, has each talk to itself for a while, and sees them all stay what they were.
async function converse(options) {
  const users = await Promise.all(
    Array.from({ length: CLIENTS }, (_, n) => {
      const id = fresh(`user${n}`);
      return User.connect(id, { user_id: id }, options(n));
    }),
  );
  await Promise.all(
    users.map(async (user) => {
      const { id } = user.socket;
      user.socket.on("disconnect", (reason) => assert.fail(`${user.id}: ${reason}`));
      for (let n = 0; n < 10; n++) {
        const { content } = await user.sendDirect(user.id, `${n}`);
        await user.next("message", { content });
      }
      assert.equal(user.socket.id, id);
    }),
  );
  return users;
}

async function leave(users) {
  for (const user of users) {
    user.socket.off("disconnect");
    user.close();
  }
  await spread(0);
}

test("polling sessions stay on their node", async () => {
  const users = await converse(() => ({ transports: ["polling"] }));
  await spread(CLIENTS);
  await leave(users);
});

test("a session that begins by polling goes on by WebSocket on the same node", async () => {
  const users = await converse(() => ({ transports: ["polling", "websocket"] }));
  await Promise.all(
    users.map(({ id, socket }) =>
      patiently(`the upgrade of ${id}`, (resolve) => {
        const { engine } = socket.io;
        if (engine.transport.name === "websocket") resolve();
        else engine.once("upgrade", resolve);
      }),
    ),
  );
  const before = users.map((user) => user.socket.id);
  await Promise.all(users.map((user) => user.rest()));
  assert.deepEqual(users.map((user) => user.socket.id), before);
  await leave(users);
});

test("browsers behind one address are spread by their cookies", async () => {
  const users = await converse(() => ({
    transports: ["polling"],
    extraHeaders: { cookie: `banter_node=${randomBytes(16).toString("hex")}` },
  }));
  const each = await spread(CLIENTS);
  assert.ok(each.filter((count) => count > 0).length > 1, `${each}`);
  await leave(users);
});

test("WebSockets that begin as such go to every node", async () => {
  const users = await converse(() => ({ transports: ["websocket"] }));
  const each = await spread(CLIENTS);
  assert.ok(each.every((count) => count > 0), `${each}`);
  await leave(users);
});

test("plain WebSockets come through", async () => {
  const asked = request(`${base}/ws?username=${fresh("ann")}`, {
    headers: {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": randomBytes(16).toString("base64"),
    },
  });
  const socket = await patiently("a plain WebSocket", (resolve, reject) => {
    asked.on("upgrade", (_, socket) => resolve(socket));
    asked.on("response", ({ statusCode }) => reject(new Error(`refused with ${statusCode}`)));
    asked.on("error", reject);
    asked.end();
  });
  await spread(1);
  socket.destroy();
  await spread(0);
});

test("the page brings a cookie, once", async () => {
  const first = await fetch(`${base}/`);
  const [cookie] = first.headers.getSetCookie();
  assert.match(cookie, /^banter_node=[0-9a-f]{32}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Lax$/);
  const again = await fetch(`${base}/`, { headers: { cookie: cookie.split(";")[0] } });
  assert.deepEqual(again.headers.getSetCookie(), []);
  const other = await fetch(`${base}/health`);
  assert.deepEqual(other.headers.getSetCookie(), []);
});

test("operators' routes are not for users", async () => {
  assert.equal((await fetch(`${nodes[0]}/metrics`)).status, 200);
  for (const path of ["/metrics", "/admin", "/admin/", "/admin/users/ann", "//metrics", "/x/../metrics"]) {
    assert.equal((await fetch(`${base}${path}`)).status, 404, path);
  }
});

test("uploads as large as the server takes come through, and no larger body does", async () => {
  const upload = async (bytes) => {
    const form = new FormData();
    const picture = new Uint8Array(bytes);
    picture.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
    form.append("file", new Blob([picture]), "x.png");
    return fetch(`${base}/upload/`, { method: "POST", body: form });
  };
  assert.equal((await upload(5_000_000)).status, 200);
  const own = await upload(5_500_000);
  assert.equal(own.status, 413);
  assert.match(own.headers.get("content-type"), /json/, "the server says so itself");
  const body = JSON.stringify({ name: "x".repeat(1_500_000) });
  const headers = { "content-type": "application/json" };
  const refused = await fetch(`${base}/groups/`, { method: "POST", body, headers });
  assert.equal(refused.status, 413);
  assert.match(refused.headers.get("content-type"), /json/, "the server says so itself");
});

test("what is secret in a request is in no log", async () => {
  await fetch(`${base}/messages/a/b?token=a-token-in-a-query`);
  await fetch(`${base}/invitations/an-invitation`);
  await fetch(`${base}/groups/g/invitations/an-invitation`, { method: "DELETE" });
});
