// What the suites share: a user with one socket, HTTP requests, and checks of shapes.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { io as connectV4 } from "socket.io-client";
import connectV2 from "socket.io-client-v2";

export const base = need("BANTER_URL");
export const transport = process.env.TRANSPORT ?? "websocket";
export const client = process.env.CLIENT ?? "4";

// How long to wait for what must come. No test is faster or slower for it; only a failure waits.
const PATIENCE_MS = 30_000;

export function need(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: run this suite through 'make test'`);
  return value;
}

export const fresh = (name) => `${name}-${randomUUID().slice(0, 8)}`;

// Resolves or rejects as `start(resolve, reject)` says; rejects with what was awaited otherwise.
export function patiently(what, start) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), PATIENCE_MS);
    const done = (end) => (value) => (clearTimeout(late), end(value));
    start(done(resolve), done(reject));
  });
}

// Looks again until what is seen `isRight`, and gives that.
export async function eventually(what, look, isRight) {
  for (const start = Date.now(); Date.now() - start < PATIENCE_MS; ) {
    const seen = await look();
    if (isRight(seen)) return seen;
  }
  throw new Error(`waited in vain for ${what}`);
}

// A socket that has not been answered yet. EIO3 clients have no `auth`: they say it in the query.
export function open(userId, who = userId === undefined ? {} : { user_id: userId }, more = {}) {
  const options = { transports: [transport], forceNew: true, reconnection: false, ...more };
  return client === "2"
    ? connectV2(base, { ...options, query: who })
    : connectV4(base, { ...options, auth: who });
}

const EVENTS = [
  "message", "message_update", "message_deleted", "notification", "success", "error",
  "token_expiring", "signed_out",
];
const open_users = new Set();

// One socket of a user. What it receives is kept, in order, until a test takes it.
export class User {
  #inbox = [];
  #waiting = [];

  constructor(id, socket) {
    this.id = id;
    this.socket = socket;
    this.listen(...EVENTS);
  }

  // Keeps these events, too, from now on.
  listen(...events) {
    for (const event of events) {
      this.socket.on(event, (payload) => this.#receive({ event, payload }));
    }
  }

  // `who` is what the socket says of its user; where sign-in is open, the id.
  static async connect(id, who, more) {
    const user = new User(id, open(id, who, more));
    open_users.add(user);
    await patiently(`the connection of ${id}`, (resolve, reject) => {
      user.socket.on("connect", resolve);
      user.socket.on("connect_error", reject);
    });
    return user;
  }

  static closeAll() {
    for (const user of open_users) user.close();
  }

  close() {
    this.socket.close();
    open_users.delete(this);
  }

  // Sends an event and gives its acknowledgement.
  ask(event, ...payload) {
    return patiently(`the ack of ${event}`, (resolve) => this.socket.emit(event, ...payload, resolve));
  }

  // The same, where it must succeed.
  async do(event, ...payload) {
    const ack = await this.ask(event, ...payload);
    assert.equal(ack.ok, true, `${event} was refused: ${JSON.stringify(ack)}`);
    return ack;
  }

  // Sends an event that must be refused: the ack says why, and an `error` event too.
  async refused(code, event, ...payload) {
    const ack = await this.ask(event, ...payload);
    keys(ack, "ok error");
    assert.equal(ack.ok, false);
    keys(ack.error, "code message");
    assert.equal(ack.error.code, code, ack.error.message);
    const told = await this.next("error");
    assert.deepEqual(told, { message: ack.error.message });
  }

  async sendDirect(to, content, more = {}) {
    return (await this.do("send_message", { to, content, type: "direct", ...more })).message;
  }

  async sendGroup(to, content, more = {}) {
    return (await this.do("send_message", { to, content, type: "group", ...more })).message;
  }

  // Takes the first event of this name whose payload has these fields, now or when it comes.
  next(event, fields = {}) {
    const fits = (got) =>
      got.event === event && Object.entries(fields).every(([key, value]) => got.payload[key] === value);
    const at = this.#inbox.findIndex(fits);
    if (at >= 0) return Promise.resolve(this.#inbox.splice(at, 1)[0].payload);
    const what = `${event} ${JSON.stringify(fields)} at ${this.id}`;
    return patiently(what, (resolve) => this.#waiting.push({ fits, resolve }));
  }

  // What has come and was not taken, once everything sent so far has arrived: a message to oneself
  // comes after it.
  async rest() {
    const marker = randomUUID();
    await this.sendDirect(this.id, marker);
    await this.next("message", { content: marker });
    return this.#inbox.splice(0);
  }

  // Asserts that nothing has come that was not taken.
  async hasNoMore() {
    assert.deepEqual(await this.rest(), [], `${this.id} was told more than it should`);
  }

  #receive(got) {
    const at = this.#waiting.findIndex(({ fits }) => fits(got));
    if (at >= 0) this.#waiting.splice(at, 1)[0].resolve(got.payload);
    else this.#inbox.push(got);
  }
}

// An HTTP request: its status, headers and body (JSON where it is JSON, else bytes).
export async function http(method, path, { query = {}, json, body, headers = {} } = {}) {
  const url = new URL(path, base);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  if (json !== undefined) {
    body = JSON.stringify(json);
    headers = { "content-type": "application/json", ...headers };
  }
  const response = await fetch(url, { method, headers, body, redirect: "manual" });
  const bytes = Buffer.from(await response.arrayBuffer());
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  return {
    status: response.status,
    headers: response.headers,
    body: isJson ? JSON.parse(bytes.toString()) : bytes,
  };
}

export async function ok(method, path, options) {
  const answer = await http(method, path, options);
  assert.equal(answer.status, 200, `${method} ${path}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

// Asserts an error of the form `{"detail": "..."}`.
export async function fails(status, method, path, options) {
  const answer = await http(method, path, options);
  assert.equal(answer.status, status, `${method} ${path}: ${JSON.stringify(answer.body)}`);
  keys(answer.body, "detail");
  assert.equal(typeof answer.body.detail, "string");
}

// Asserts a 422: a list of what is wrong and where.
export async function unprocessable(method, path, options) {
  const answer = await http(method, path, options);
  assert.equal(answer.status, 422, `${method} ${path}: ${JSON.stringify(answer.body)}`);
  keys(answer.body, "detail");
  assert.ok(Array.isArray(answer.body.detail) && answer.body.detail.length > 0);
  for (const fault of answer.body.detail) {
    keys(fault, "loc msg type");
    assert.ok(Array.isArray(fault.loc) && fault.loc.length > 0);
    assert.equal(typeof fault.msg, "string");
    assert.equal(typeof fault.type, "string");
  }
}

export function upload(bytes, filename, path = "/upload/", headers = {}) {
  const form = new FormData();
  form.append("file", new Blob([bytes]), filename);
  return http("POST", path, { body: form, headers });
}

// Asserts that an object has exactly these fields.
export function keys(object, names) {
  assert.deepEqual(Object.keys(object).sort(), names.split(" ").sort());
}

// Asserts an ISO 8601 time of today's clock, give or take a day, in UTC with its offset.
export function isTime(text) {
  assert.match(text, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00$/);
  assert.ok(Math.abs(Date.parse(text) - Date.now()) < 86_400_000, `${text} is not now`);
}

export function isId(text) {
  assert.match(text, /^[0-9a-f]{24}$/);
}

const MESSAGE =
  "_id id content type content_type media_url media_metadata from_user_id timestamp status read_by deleted_for";

// Asserts that a message is as WIRE says, and nothing else. `expected` overrides the defaults.
export function isMessage(message, expected) {
  const inGroup = expected.group_id !== undefined;
  const edited = message.edited_at === undefined ? "" : " edited_at";
  keys(message, `${MESSAGE} ${inGroup ? "group_id" : "to_user_id"}${edited}`);
  isId(message.id);
  isTime(message.timestamp);
  assert.deepEqual(message, {
    type: inGroup ? "group" : "direct",
    content_type: "text",
    media_url: null,
    media_metadata: null,
    status: "sent",
    read_by: inGroup ? [expected.from_user_id] : [],
    deleted_for: [],
    ...expected,
    _id: message.id,
    id: message.id,
    timestamp: message.timestamp,
    ...(edited && { edited_at: message.edited_at }),
  });
}
