// Users who send, edit and delete over connections that are cut again and again, until stdin ends.
// They give up nothing: what was not answered, or refused for the moment, is sent again as it was
// until it is done. The last line says what became of each message and what each device has heard.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";
import { answerQuestions, print } from "./questions.mjs";
import { base, ok } from "./support.mjs";

// The nodes, where there are several. A device that has lost its connection goes to the next one.
const bases = (process.env.BANTER_URLS ?? base).split(",");

const WRITERS = ["writer0", "writer1", "writer2"];
const HASTY = "hasty";
const READERS = ["reader0", "reader1"];

const HASTY_LANES = 8; // messages that the hasty writer has in flight at once
const TWICE_EVERY = 10; // one in so many of these is sent twice in one breath
const AGAIN_EVERY = 10; // one in so many of all messages is sent once more at the very end
const PAUSE_MS = 10; // after each step of a writer: some hundred steps a second in all

const LONG = 30_000; // characters of a long message, which fills several pages of a file
const LONG_EVERY = Number(process.env.LONG_EVERY ?? 50);

const CONNECTION = {
  forceNew: true,
  ackTimeout: 5_000,
  reconnectionDelay: 20,
  reconnectionDelayMax: 200,
};

// Refusals that the server takes back by itself.
const PASSING = ["unavailable", "buffer_full"];
const isPassing = (ack) => !ack.ok && PASSING.includes(ack.error.code);

const counts = { accepted: 0, refused: 0, received: 0, interrupted: 0 };
const done = { edits: 0, deletions: 0, repeats: 0 }; // repeats: events sent more than once
const messages = [];
const devices = [];
const postponed = []; // changes that were refused for the moment: [device, change]
const failures = [];
let stopping = false;

// One socket of a user, over all its connections.
class Device {
  heard = []; // [_id, client_id] of each `message`
  known = new Set(); // the _id of each
  #inFlight = new Set();
  #tries = new WeakMap();

  constructor(user, name, options) {
    this.name = `${user}'s ${name}`;
    let at = devices.length;
    const node = () => bases[at % bases.length];
    this.socket = io(node(), { ...CONNECTION, auth: { user_id: user }, ...options });
    this.socket.io.on("reconnect_attempt", () => {
      at++;
      this.socket.io.uri = node();
    });
    this.socket.on("message", ({ _id, client_id }) => this.#hears(_id, client_id));
    this.socket.onAnyOutgoing((event, payload) => this.#goesOut(event, payload));
    this.socket.on("disconnect", () => {
      counts.interrupted += this.#inFlight.size;
      this.#inFlight.clear();
    });
    devices.push(this);
  }

  // A node that is killed may have told what it has not passed on; the one that takes the message over
  // tells it under the same id, by which clients of several nodes know it again.
  #hears(id, client_id) {
    if (bases.length === 1 || !this.known.has(id)) this.heard.push([id, client_id]);
    this.known.add(id);
  }

  #goesOut(event, payload) {
    if (event === "send_message") this.#inFlight.add(payload);
    if (typeof payload === "object") this.#tries.set(payload, this.tries(payload) + 1);
  }

  // How often a payload was put on the wire.
  tries(payload) {
    return this.#tries.get(payload) ?? 0;
  }

  // The answer to an event. The client library sends it again if it has `retries`; else we do.
  async ask(event, payload) {
    for (;;) {
      try {
        const ack = await this.socket.emitWithAck(event, payload);
        this.#inFlight.delete(payload);
        if (this.tries(payload) > 1) done.repeats++;
        return ack;
      } catch {
        // The connection was lost, or the answer is late.
      }
    }
  }

  // The same, until the answer is one that stays.
  async insist(event, payload) {
    for (let pauseMs = PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, 500)) {
      const ack = await this.ask(event, payload);
      if (!isPassing(ack)) return ack;
      if (event === "send_message") counts.refused++;
      await sleep(pauseMs);
    }
  }

  fails(event, payload, ack) {
    const asked = JSON.stringify(payload).slice(0, 200);
    failures.push(`${this.name}: ${event} ${asked}: ${JSON.stringify(ack).slice(0, 200)}`);
  }
}

async function send(device, to, n, copies) {
  const client_id = randomUUID();
  const text = `${client_id} says`;
  const length = n % LONG_EVERY === 0 ? LONG : 0;
  const payload = { client_id, ...to, content: text.padEnd(length, "x") };
  // As it must be stored: the text, filled up with x to the length.
  const message = { client_id, ids: [], text, length, deleted: false, device, payload };
  messages.push(message);
  const sendOne = async () => {
    const copy = { ...payload };
    const ack = await device.insist("send_message", copy);
    const is = ack.ok && ack.message.client_id === client_id && ack.message.content === copy.content;
    if (!is) device.fails("send_message", copy, ack);
    if (ack.ok) acknowledged(message, ack);
  };
  await Promise.all(Array.from({ length: copies }, sendOne));
  if (message.ids.length > 0) counts.accepted++;
  return message;
}

function acknowledged(message, ack) {
  if (!message.ids.includes(ack.message._id)) message.ids.push(ack.message._id);
}

// Sends one message after the other; those that have arrived are put into `sent`.
async function write(device, sent, target, copies = () => 1) {
  for (let n = 0; !stopping; n++) {
    const message = await send(device, target(n), n, copies(n));
    if (message.ids.length > 0) sent.push(message);
    await sleep(PAUSE_MS);
  }
}

function edit(message, sent, n) {
  const content = `${message.client_id} says after change ${n}`;
  const isDone = () => {
    Object.assign(message, { text: content, length: 0 });
    sent.unshift(message);
    done.edits++;
  };
  return { event: "edit_message", payload: { message_id: message.ids[0], content }, isDone };
}

// Must be answered with the message that is there, and change nothing.
function repetition(message, sent) {
  const isDone = (ack) => {
    acknowledged(message, ack);
    sent.unshift(message);
  };
  return { event: "send_message", payload: { ...message.payload }, isDone };
}

function deletion(message) {
  const isDone = () => {
    message.deleted = true;
    done.deletions++;
  };
  const payload = { message_id: message.ids[0], delete_for: "everyone" };
  return { event: "delete_message", payload, isDone };
}

function conclude(device, { event, payload, isDone }, ack) {
  // A deletion whose first answer was lost finds nothing any more.
  const isRepeated = event === "delete_message" && device.tries(payload) > 1;
  if (ack.ok || (isRepeated && ack.error.code === "not_found")) isDone(ack);
  else device.fails(event, payload, ack);
}

const CHANGES = [edit, repetition, deletion];

// Edits, sends again and deletes what other devices of the user have sent: the newest, which may be
// in the buffer only, and the oldest, which is stored, in turns. One message has one change under
// way at a time.
async function tidy(device, sent) {
  for (let n = 0; !stopping; n++) {
    await sleep(PAUSE_MS);
    const message = n % 2 === 0 ? sent.pop() : sent.shift();
    if (message === undefined) continue;
    const change = CHANGES[n % CHANGES.length](message, sent, n);
    const ack = await device.ask(change.event, change.payload);
    if (isPassing(ack)) postponed.push([device, change]);
    else conclude(device, change, ack);
  }
}

const direct = (n) => ({ to: READERS[n % READERS.length], type: "direct" });

// A user of three devices that leave it to the client library to send again. The library has one
// event of each in flight.
function writer(user, group, transport) {
  const device = (name) => new Device(user, name, { retries: Infinity, transports: [transport] });
  const sent = [];
  return [
    write(device("phone"), sent, direct),
    write(device("laptop"), sent, () => group),
    tidy(device("tablet"), sent),
  ];
}

// A user whose one device has many messages in flight and sends again by itself.
function hastyWriter() {
  const phone = new Device(HASTY, "phone", { transports: ["websocket"] });
  const tablet = new Device(HASTY, "tablet", { retries: Infinity, transports: ["websocket"] });
  const sent = [];
  const copies = (n) => (n % TWICE_EVERY === 0 ? 2 : 1);
  const lanes = Array.from({ length: HASTY_LANES }, () => write(phone, sent, direct, copies));
  return [...lanes, tidy(tablet, sent)];
}

function read(user, group) {
  const device = new Device(user, "phone", { transports: ["websocket"] });
  device.socket.on("message", () => counts.received++);
  device.socket.on("connect", async () => {
    const ack = await device.insist("join_group", group.to);
    if (!ack.ok) device.fails("join_group", group.to, ack);
  });
  return device;
}

// All that has changed for a device since a cursor, or where to go on from now, without one.
async function sync(device, cursor) {
  const changes = [];
  for (let next = cursor; ; ) {
    const page = await device.insist("sync", next === undefined ? {} : { cursor: next });
    if (!page.ok) {
      device.fails("sync", { cursor: next }, page);
      return { changes, cursor: next };
    }
    changes.push(...page.changes);
    next = page.cursor;
    if (!page.more && page.complete) return { changes, cursor: next };
    if (!page.complete) await sleep(PAUSE_MS);
  }
}

// Whether a reader has everything, once it has asked for what it has missed.
async function isWhole(user, device, cursor) {
  const rows = new Map();
  for (const change of (await sync(device, cursor)).changes) {
    if (change.type === "message") rows.set(change.message._id, change.message.content);
    if (change.type === "message_deleted") rows.delete(change.message_id);
  }
  for (const { ids: [id], payload, text, length, deleted } of messages) {
    if (deleted || (payload.to !== user && payload.to !== group.to)) continue;
    const content = rows.get(id);
    if (content === undefined && !device.known.has(id)) device.fails("misses", { id }, payload);
    if (content !== undefined && content !== text.padEnd(length, "x")) {
      device.fails("has another content", { id, content }, payload);
    }
  }
}

// What was sent long ago is sent once more. It may be deleted by now; then any refusal will do.
async function sendAgain(message) {
  const { device, payload } = message;
  const ack = await device.insist("send_message", payload);
  if (ack.ok) acknowledged(message, ack);
  else if (!message.deleted) device.fails("send_message", payload, ack);
}

async function changeAgain([device, change]) {
  conclude(device, change, await device.insist(change.event, change.payload));
}

const members = { name: "Everybody", member_ids: [...WRITERS, HASTY, ...READERS], created_by: HASTY };
const group = { to: (await ok("POST", "/groups/", { json: members }))._id, type: "group" };
const readers = READERS.map((user) => ({ user, device: read(user, group) }));
for (const reader of readers) reader.cursor = (await sync(reader.device)).cursor;
const writing = Promise.all([
  ...WRITERS.flatMap((user, n) => writer(user, group, n === 0 ? "polling" : "websocket")),
  ...hastyWriter(),
]);
await answerQuestions(() => counts);

stopping = true;
await writing;
await Promise.all(postponed.map(changeAgain));
await Promise.all(messages.filter((_, n) => n % AGAIN_EVERY === 0).map(sendAgain));
// What is on its way to a device comes before the answer to its last question.
await Promise.all(devices.map((device) => device.ask("leave_group", group.to)));
for (const { user, device, cursor } of readers) await isWhole(user, device, cursor);
const heard = Object.fromEntries(devices.map((device) => [device.name, device.heard]));
const asTheyMustBe = messages.map(({ device, payload, ...message }) => message);
print({ messages: asTheyMustBe, heard, failures, ...done });
devices.forEach((device) => device.socket.close());
