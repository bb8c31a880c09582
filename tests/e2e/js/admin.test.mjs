// The Socket.IO Admin UI: its server's part driven as the UI drives it, and then by the UI itself, as
// its authors have published it, in a real browser.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { io } from "socket.io-client";
import { blank, hasNoFaults, launch } from "./browser.mjs";
import { base, fresh, need, open, patiently } from "./support.mjs";

const password = need("ADMIN_UI_PASSWORD");
const credentials = { username: "admin", password };
const sockets = new Set();

afterEach(() => {
  sockets.forEach((socket) => socket.disconnect());
  sockets.clear();
});

const kept = (socket) => (sockets.add(socket), socket);

const connected = (socket) =>
  patiently("a connection", (resolve, reject) => {
    kept(socket).on("connect", () => resolve(socket));
    socket.on("connect_error", reject);
  });

// An operator, with the options of the UI; what it hears is kept from the start.
async function operator(auth, transports = ["websocket"]) {
  const socket = io(`${base}/admin`, {
    forceNew: true, reconnection: false, withCredentials: true, transports, auth,
  });
  const heard = [];
  socket.onAny((...event) => heard.push(event));
  const find = (name, fits = () => true) =>
    patiently(name, (resolve) => {
      const look = () => {
        const found = heard.find(([event, ...args]) => event === name && fits(...args));
        if (found) resolve(found.slice(1));
      };
      look();
      socket.onAny(look);
    });
  await connected(socket);
  return { socket, find, heard };
}

const user = async (name) => connected(open(name));

test("who knows the password gets in, and with the session that is given for it", async () => {
  for (const wrong of [{}, { ...credentials, password: "wrong" }, { sessionId: "made-up" }]) {
    await assert.rejects(operator(wrong), { message: "invalid credentials" });
  }
  for (const transports of [["websocket"], ["polling", "websocket"]]) {
    const first = await operator(credentials, transports);
    const [sessionId] = await first.find("session");
    const [{ supportedFeatures }] = await first.find("config");
    assert.ok(supportedFeatures.includes("MDISCONNECT"), supportedFeatures);
    first.socket.disconnect();
    const again = await operator({ sessionId }, transports);
    await again.find("all_sockets");
    await again.find("server_stats");
  }
});

test("an operator sees who comes and goes, and acts", async () => {
  const ann = await user(fresh("ann"));
  const root = await operator(credentials);
  const [list] = await root.find("all_sockets");
  const row = list.find(({ id }) => id === ann.id);
  assert.equal(row.nsp, "/");
  assert.deepEqual([row.id, row.clientId], [ann.id, ann.id]);
  assert.ok(row.rooms.includes(ann.id), row.rooms);
  assert.equal(new Date(row.handshake.time).getTime(), row.handshake.issued);

  const bob = await user(fresh("bob"));
  const [came, at] = await root.find("socket_connected", ({ id }) => id === bob.id);
  assert.equal(came.transport, "websocket");
  assert.ok(!Number.isNaN(Date.parse(at)), at);

  root.socket.emit("join", "/", "testers", bob.id);
  await root.find("room_joined", (nsp, room, id) => room === "testers" && id === bob.id);
  const news = patiently("news", (resolve) => bob.on("news", (...args) => resolve(args)));
  root.socket.emit("emit", "/", "testers", "news", 1, { deep: [2] });
  assert.deepEqual(await news, [1, { deep: [2] }]);
  root.socket.emit("leave", "/", "testers");
  await root.find("room_left", (nsp, room, id) => room === "testers" && id === bob.id);

  const end = patiently("the end", (resolve) => bob.on("disconnect", resolve));
  const gone = bob.id;
  root.socket.emit("_disconnect", "/", false, gone);
  assert.equal(await end, "io server disconnect");
  await root.find("socket_disconnected", (nsp, id) => id === gone);
  const { error } = await root.socket.emitWithAck("join", "/", "user_eve", ann.id);
  assert.equal(error.code, "forbidden");
  assert.ok(ann.connected);
});

// What the package has for operators to host.
const ui = fileURLToPath(new URL("node_modules/@socket.io/admin-ui/ui/dist", import.meta.url));
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };
let browser, host;

before(async () => {
  host = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, "http://ui").pathname);
    try {
      const file = join(ui, path === "/" ? "index.html" : path);
      const body = await readFile(file);
      response.setHeader("content-type", types[extname(file)] ?? "application/octet-stream");
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => host.listen(0, "127.0.0.1", resolve));
  browser = await launch();
});

after(async () => {
  await browser?.close();
  host?.close();
});

test("the published UI signs in, lists the sockets, and ends one", async () => {
  const ann = await user(fresh("ann"));
  const page = await blank(browser, "ui");
  const here = `http://127.0.0.1:${host.address().port}`;
  // Fonts and icons of elsewhere.
  await page.route("**", (route) => {
    const { origin, protocol } = new URL(route.request().url());
    const isOurs = [here, new URL(base).origin].includes(origin) || protocol !== "https:";
    return isOurs ? route.continue() : route.fulfill({ body: "", contentType: "text/css" });
  });
  await page.goto(here);
  const field = (label) => page.getByLabel(label, { exact: true });
  await field("Server URL").fill(base);
  await field("Username").fill(credentials.username);
  await field("Password").fill("wrong");
  const connect = page.getByRole("button", { name: "Connect" });
  await connect.click();
  await page.getByText("invalid credentials").waitFor();
  await field("Password").fill(password);
  await connect.click();

  await page.getByText("Sockets", { exact: true }).click();
  const row = page.getByRole("row", { name: ann.id });
  await row.waitFor();
  const end = patiently("the end", (resolve) => ann.on("disconnect", resolve));
  await row.getByRole("button").last().click();
  assert.equal(await end, "io server disconnect");
  await page.getByText("disconnected", { exact: true }).first().waitFor();

  // The session that the UI has kept is good for the next visit.
  const bob = await user(fresh("bob"));
  await page.goto(here);
  await page.getByText("Sockets", { exact: true }).click();
  await page.getByRole("row", { name: bob.id }).waitFor();
  hasNoFaults();
});
