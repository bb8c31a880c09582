// What existing clients rely on: each event, route, notification, status code and shape of the old
// server, through the real client. TRANSPORT and CLIENT say which; STORE, what the server stores in.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { after, describe, test } from "node:test";
import { files, png } from "./files.mjs";
import {
  User, base, client, eventually, fails, fresh, http, isId, isMessage, isTime, keys, need, ok, open,
  patiently, transport, unprocessable, upload,
} from "./support.mjs";

const GROUP_KEYS = "_id name member_ids created_by created_at owner_id admin_ids silenced is_private";
const NOWHERE = "0123456789abcdef01234567"; // an id of nothing
const MAX_UPLOAD_BYTES = 5 * 1024 * 1024;

after(() => User.closeAll());

const pair = () => Promise.all([User.connect(fresh("alice")), User.connect(fresh("bob"))]);

async function makeGroup(creator, ...members) {
  const member_ids = [creator, ...members].map((member) => member.id);
  const json = { name: fresh("group"), member_ids, created_by: creator.id };
  const group = await ok("POST", "/groups/", { json });
  for (const member of [creator, ...members]) {
    await member.next("notification", { group_id: group._id });
  }
  return group;
}

// A group whose room all its members have joined.
async function joinedGroup(creator, ...members) {
  const group = await makeGroup(creator, ...members);
  for (const member of [creator, ...members]) await member.do("join_group", group._id);
  return group;
}

function history(user, otherId, query = {}) {
  return ok("GET", `/messages/${user.id}/${otherId}`, { query: { message_type: "direct", ...query } });
}

// Every page there is, from one on; newest first going back, oldest first going forth.
async function walk(user, otherId, direction, from, limit) {
  const ids = [];
  for (let last = from; ; ) {
    const rows = await history(user, otherId, { [direction]: last, limit });
    if (rows.length === 0) return ids;
    if (direction === "after") rows.reverse();
    ids.push(...rows.map((row) => row.id));
    last = ids.at(-1);
  }
}
describe("typing and presence", () => {
  test("the other user hears that somebody types, and has stopped", async () => {
    const [alice, bob] = await pair();
    for (const user of [alice, bob]) user.listen("typing");
    const typing = { user_id: alice.id, to: bob.id, type: "direct" };
    await alice.do("typing_start", { to: bob.id, type: "direct" });
    assert.deepEqual(await bob.next("typing"), { ...typing, is_typing: true });
    await alice.sendDirect(bob.id, "done");
    assert.deepEqual(await bob.next("typing"), { ...typing, is_typing: false });
    const events = await alice.rest();
    assert.ok(events.every(({ event }) => event === "message"), JSON.stringify(events));
  });

  test("who shares a conversation is told that a user comes and goes", async () => {
    const [alice, bob] = await pair();
    alice.listen("presence");
    await bob.sendDirect(alice.id, "hello");
    bob.close();
    const gone = await alice.next("presence", { user_id: bob.id, status: "offline" });
    keys(gone, "user_id status last_seen");
    isTime(gone.last_seen);
    const user_ids = [bob.id, alice.id, fresh("nobody")].join(",");
    const rows = await ok("GET", "/presence", { query: { user_ids } });
    assert.deepEqual(rows[0], gone);
    assert.deepEqual(rows.map(({ status }) => status), ["offline", "online", "offline"]);
    assert.equal(rows[2].last_seen, null);
    await User.connect(bob.id);
    // The first message may have come before Bob's arrival was told, and so may have that with it.
    let back;
    do {
      back = await alice.next("presence", { user_id: bob.id, status: "online" });
    } while (back.last_seen < gone.last_seen);
    isTime(back.last_seen);
  });
});

// All that a user has missed since a cursor, page by page.
async function catchUp(user, cursor) {
  const changes = [];
  for (let more = true; more; ) {
    const page = await user.do("sync", { cursor, limit: 2 });
    keys(page, "ok changes cursor more complete");
    assert.equal(page.complete, true);
    changes.push(...page.changes);
    ({ cursor, more } = page);
  }
  return { changes, cursor };
}

describe("sync", () => {
  test("a device that starts gets the conversations, and one that was away what it has missed", async () => {
    const [alice, bob] = await pair();
    const group = await makeGroup(alice, bob);
    const kept = await alice.sendDirect(bob.id, "hello");
    const doomed = await alice.sendDirect(bob.id, "oops");
    const start = await bob.do("sync", {});
    keys(start, "ok conversations changes cursor more complete");
    const [direct, silent] = start.conversations;
    keys(direct, "type user_id last_message unread updated_at");
    assert.deepEqual([direct.user_id, direct.last_message, direct.unread], [alice.id, doomed, 2]);
    assert.deepEqual([silent.group_id, silent.last_message], [group._id, null]);
    assert.deepEqual(silent.group.member_ids, [alice.id, bob.id]);
    const list = await ok("GET", `/conversations/${bob.id}`);
    assert.deepEqual(list, { conversations: start.conversations, next_cursor: null });

    bob.close();
    await alice.do("edit_message", { message_id: kept.id, content: "hello, Bob" });
    await alice.do("delete_message", { message_id: doomed.id });
    const said = await alice.sendGroup(group._id, "to all");
    const back = await User.connect(bob.id);
    const { changes, cursor } = await catchUp(back, start.cursor);
    const rows = changes.filter(({ type }) => type === "message").map(({ message }) => message);
    const [edited] = rows.filter(({ id }) => id === kept.id).slice(-1);
    assert.equal(edited.content, "hello, Bob");
    assert.ok(rows.some(({ id }) => id === said.id));
    const gone = changes.find(({ type }) => type === "message_deleted");
    keys(gone, "type message_id chat_type user_id deleted_at");
    assert.deepEqual([gone.message_id, gone.user_id], [doomed.id, alice.id]);
    const news = await alice.sendDirect(bob.id, "news");
    const next = await catchUp(back, cursor);
    assert.deepEqual(next.changes.at(-1), { type: "message", message: news });
    await back.refused("invalid_payload", "sync", { cursor: "yesterday" });
  });
});

describe("what is attached to messages", () => {
  test("a reaction is told, shown, and taken back", async () => {
    const [alice, bob] = await pair();
    const sent = await alice.sendDirect(bob.id, "hello");
    await bob.do("add_reaction", { message_id: sent.id, emoji: "👍" });
    const told = { type: "reaction", message_id: sent.id, reactions: { "👍": [bob.id] } };
    for (const user of [alice, bob]) assert.deepEqual(await user.next("message_update"), told);
    assert.deepEqual((await history(bob, alice.id))[0].reactions, { "👍": [bob.id] });
    await bob.do("remove_reaction", { message_id: sent.id, emoji: "👍" });
    assert.deepEqual((await alice.next("message_update")).reactions, {});
    await bob.refused("invalid_payload", "add_reaction", { message_id: sent.id, emoji: "ok" });
  });

  test("replies make a thread", async () => {
    const [alice, bob] = await pair();
    const root = await alice.sendDirect(bob.id, "lunch?");
    const first = await bob.sendDirect(alice.id, "yes", { reply_to: root.id });
    const second = await alice.sendDirect(bob.id, "good", { reply_to: first.id });
    assert.deepEqual([first.reply_to, second.reply_to], [root.id, root.id]);
    assert.deepEqual(await alice.next("message", { id: first.id }), first);
    const thread = await ok("GET", `/threads/${root.id}`, { query: { user_id: bob.id } });
    keys(thread, "root replies reply_count");
    assert.deepEqual(thread.replies.map(({ id }) => id), [second.id, first.id]);
    assert.deepEqual([thread.root.id, thread.root.reply_count, thread.reply_count], [root.id, 2, 2]);
    assert.equal((await history(bob, alice.id))[2].reply_count, 2);
    await fails(404, "GET", `/threads/${root.id}`, { query: { user_id: fresh("eve") } });
  });

  test("who is mentioned is told", async () => {
    const [alice, bob] = await pair();
    const group = await makeGroup(alice, bob);
    const mentions = [bob.id, fresh("stranger")];
    const sent = await alice.sendGroup(group._id, "hi", { mentions });
    assert.deepEqual(sent.mentions, [bob.id]);
    assert.deepEqual(await bob.next("notification"), {
      type: "mention",
      content: `${alice.id} mentioned you`,
      message_id: sent.id,
      from_user_id: alice.id,
      group_id: group._id,
      timestamp: sent.timestamp,
    });
  });

  test("a pin is told and listed", async () => {
    const [alice, bob] = await pair();
    const sent = await alice.sendDirect(bob.id, "the rules");
    await bob.do("pin_message", { message_id: sent.id });
    const told = await alice.next("message_update");
    keys(told, "type message_id pinned by at");
    assert.deepEqual([told.type, told.message_id, told.pinned, told.by], ["pin", sent.id, true, bob.id]);
    isTime(told.at);
    const [row] = await ok("GET", `/pins/${alice.id}/${bob.id}`);
    assert.deepEqual([row.id, row.pinned], [sent.id, { by: bob.id, at: told.at }]);
    await alice.do("unpin_message", { message_id: sent.id });
    assert.equal((await bob.next("message_update", { pinned: false })).by, alice.id);
    assert.deepEqual(await ok("GET", `/pins/${alice.id}/${bob.id}`), []);
  });
});

describe("connecting", () => {
  test("a user id is needed", async () => {
    const socket = open(undefined);
    const refused = await patiently("the refusal", (resolve, reject) => {
      socket.on("connect_error", resolve);
      socket.on("error", resolve);
      if (client === "4") socket.on("connect", () => reject(new Error("connected without a user id")));
    });
    assert.ok(refused);
    socket.close();
  });

  test("every socket of a user gets what the user gets", async () => {
    const [alice, bob] = await pair();
    const phone = await User.connect(bob.id);
    const sent = await alice.sendDirect(bob.id, "both");
    assert.deepEqual(await bob.next("message"), sent);
    assert.deepEqual(await phone.next("message"), sent);
  });

  test("what is unread is told, once, to whoever connects, and nothing when there is nothing", async () => {
    const [alice, carol] = await Promise.all([User.connect(fresh("alice")), User.connect(fresh("carol"))]);
    const bobId = fresh("bob");
    const json = { name: "later", member_ids: [alice.id, bobId], created_by: alice.id };
    const group = await ok("POST", "/groups/", { json });
    await alice.sendDirect(bobId, "one");
    await carol.sendDirect(bobId, "two");
    await alice.sendGroup(group._id, "three");

    const bob = await User.connect(bobId);
    const told = await bob.next("notification");
    keys(told, "type content unread_direct unread_group timestamp");
    isTime(told.timestamp);
    assert.equal(typeof told.content, "string");
    assert.deepEqual(
      [told.type, told.unread_direct, told.unread_group],
      ["unread_notification", 2, 1],
    );
    await bob.hasNoMore();

    await history(bob, alice.id);
    await history(bob, carol.id);
    await history(bob, group._id, { message_type: "group" });
    const again = await User.connect(bobId);
    await again.hasNoMore();
  });

  test("an event that is not known is ignored, and the connection lives on", async () => {
    const alice = await User.connect(fresh("alice"));
    alice.socket.emit("no_such_event", { any: "thing" });
    await alice.hasNoMore();
  });
});

describe("send_message", () => {
  test("a direct message goes to both users at once", async () => {
    const [alice, bob] = await pair();
    alice.socket.emit("send_message", { to: bob.id, content: "hello", type: "direct" });
    const got = await bob.next("message");
    isMessage(got, { content: "hello", from_user_id: alice.id, to_user_id: bob.id });
    assert.deepEqual(await alice.next("message"), got);
    await alice.hasNoMore();
    await bob.hasNoMore();
  });

  test("a message to oneself comes once", async () => {
    const alice = await User.connect(fresh("alice"));
    const sent = await alice.sendDirect(alice.id, "note");
    assert.deepEqual(await alice.next("message"), sent);
    await alice.hasNoMore();
  });

  test("the acknowledgement carries the message as everybody gets it", async () => {
    const [alice, bob] = await pair();
    const ack = await alice.do("send_message", { to: bob.id, content: "x", type: "direct" });
    keys(ack, "ok message");
    isMessage(ack.message, { content: "x", from_user_id: alice.id, to_user_id: bob.id });
    assert.deepEqual(await bob.next("message"), ack.message);
  });

  test("a group message goes to the sockets in the group's room alone", async () => {
    const [alice, bob] = await pair();
    const carol = await User.connect(fresh("carol"));
    const group = await makeGroup(alice, bob, carol);
    await alice.do("join_group", group._id);
    await bob.do("join_group", group._id);
    const sent = await alice.sendGroup(group._id, "all of you");
    isMessage(sent, { content: "all of you", from_user_id: alice.id, group_id: group._id });
    assert.deepEqual(await alice.next("message"), sent);
    assert.deepEqual(await bob.next("message"), sent);
    await carol.hasNoMore();
  });

  for (const content_type of ["text", "image", "video", "file", "emoji", "voice", "audio"]) {
    test(`content of type ${content_type} is taken`, async () => {
      const alice = await User.connect(fresh("alice"));
      const sent = await alice.sendDirect(alice.id, "x", { content_type });
      isMessage(sent, { content: "x", content_type, from_user_id: alice.id, to_user_id: alice.id });
    });
  }

  test("media has an object for content, a file and what is said of it", async () => {
    const [alice, bob] = await pair();
    const { url } = (await upload(png, "dot.png")).body;
    const more = { content_type: "image", media_url: url, media_metadata: { width: 1, tags: ["a", null] } };
    const sent = await alice.sendDirect(bob.id, { caption: "dot", size: 1.5 }, more);
    const expected = { content: { caption: "dot", size: 1.5 }, ...more };
    isMessage(sent, { ...expected, from_user_id: alice.id, to_user_id: bob.id });
    const [row] = await history(bob, alice.id);
    isMessage(row, { ...expected, from_user_id: alice.id, to_user_id: bob.id });
  });

  test("a group message is refused from a non-member and with a file that is not there", async () => {
    const [alice, bob] = await pair();
    const group = await joinedGroup(alice);
    await bob.refused("forbidden", "send_message", { to: group._id, content: "x", type: "group" });
    const media_url = "/uploads/00000000-0000-4000-8000-000000000000.png";
    const missing = { to: group._id, content: "x", type: "group", content_type: "image", media_url };
    await alice.refused("not_found", "send_message", missing);
    await alice.refused("not_found", "send_message", { to: NOWHERE, content: "x", type: "group" });
    await alice.hasNoMore();
  });

  test("a payload of the wrong form is answered, and the connection lives on", async () => {
    const alice = await User.connect(fresh("alice"));
    const wrong = [
      [],
      ["text"],
      [null],
      [{}],
      [{ to: alice.id, content: "x" }],
      [{ to: alice.id, type: "direct" }],
      [{ content: "x", type: "direct" }],
      [{ to: alice.id, content: 5, type: "direct" }],
      [{ to: alice.id, content: "x", type: "sideways" }],
      [{ to: alice.id, content: "x", type: "direct", content_type: "hologram" }],
      [{ to: "no id", content: "x", type: "group" }],
      [{ to: alice.id, content: { $where: "1" }, type: "direct" }],
    ];
    for (const payload of wrong) await alice.refused("invalid_payload", "send_message", ...payload);
    const long = "x".repeat(64 * 1024 + 1);
    await alice.refused("too_large", "send_message", { to: alice.id, content: long, type: "direct" });
    await alice.hasNoMore();
  });

  test("10,000 messages of one socket arrive in order", async () => {
    const [alice, bob] = await pair();
    const COUNT = 10_000;
    const got = [];
    const all = patiently("10,000 messages", (resolve) => {
      bob.socket.on("message", ({ content }) => got.push(content) === COUNT && resolve());
    });
    for (let n = 0; n < COUNT; n++) {
      alice.socket.emit("send_message", { to: bob.id, content: `${n}`, type: "direct" });
    }
    await all.catch((error) => assert.fail(`${error.message}: ${got.length} came`));
    assert.deepEqual(got, Array.from({ length: COUNT }, (_, n) => `${n}`));
  });
});

describe("join_group and leave_group", () => {
  test("a member enters the room and leaves it", async () => {
    const [alice, bob] = await pair();
    const group = await makeGroup(alice, bob);
    assert.deepEqual(await bob.do("join_group", group._id), { ok: true });
    const first = await alice.sendGroup(group._id, "in");
    assert.deepEqual(await bob.next("message"), first);
    assert.deepEqual(await bob.do("leave_group", group._id), { ok: true });
    await alice.sendGroup(group._id, "out");
    await bob.hasNoMore();
  });

  test("a non-member stays outside", async () => {
    const [alice, bob] = await pair();
    const group = await joinedGroup(alice);
    await bob.refused("forbidden", "join_group", group._id);
    await bob.refused("invalid_payload", "join_group", "no id");
    await alice.sendGroup(group._id, "inside");
    await bob.hasNoMore();
  });
});

describe("mark_read", () => {
  test("the sender of a direct message is told", async () => {
    const [alice, bob] = await pair();
    const { id } = await alice.sendDirect(bob.id, "read me");
    await bob.next("message");
    assert.deepEqual(await bob.do("mark_read", { message_id: id }), { ok: true });
    const receipt = { type: "read_receipt", message_id: id, read_by: [bob.id] };
    await alice.next("message");
    assert.deepEqual(await alice.next("message_update"), receipt);
    await bob.hasNoMore();

    await bob.do("mark_read", { message_id: id });
    assert.deepEqual(await alice.next("message_update"), receipt);
    const [row] = await history(alice, bob.id);
    assert.deepEqual([row.status, row.read_by], ["read", [bob.id]]);
  });

  test("the whole room of a group is told", async () => {
    const [alice, bob] = await pair();
    const group = await joinedGroup(alice, bob);
    const { id } = await alice.sendGroup(group._id, "read me");
    await bob.do("mark_read", { message_id: id });
    const receipt = { type: "read_receipt", message_id: id, read_by: [alice.id, bob.id] };
    assert.deepEqual(await alice.next("message_update"), receipt);
    assert.deepEqual(await bob.next("message_update"), receipt);
  });

  test("a message that is not there, or is somebody else's, can't be read", async () => {
    const [alice, bob] = await pair();
    const eve = await User.connect(fresh("eve"));
    const { id } = await alice.sendDirect(bob.id, "private");
    await eve.refused("not_found", "mark_read", { message_id: id });
    await eve.refused("not_found", "mark_read", { message_id: NOWHERE });
    await eve.refused("invalid_payload", "mark_read", {});
  });
});

describe("what goes beyond the old contract", () => {
  test("a sender is told that messages have come", async () => {
    const [alice, bob] = await pair();
    const ids = [];
    for (const text of ["one", "two", "three"]) ids.push((await alice.sendDirect(bob.id, text))._id);
    await bob.do("mark_delivered", { message_ids: ids.slice(0, 1) });
    const receipt = { type: "delivery_receipt", user_id: bob.id };
    assert.deepEqual(await alice.next("message_update"), { ...receipt, message_id: ids[0] });
    await bob.do("mark_delivered", { message_ids: ids });
    const rest = { ...receipt, message_id: ids[2], message_ids: ids.slice(1) };
    assert.deepEqual(await alice.next("message_update"), rest);
    const rows = await ok("GET", `/messages/${alice.id}/${bob.id}`);
    assert.deepEqual(rows.map(({ status }) => status), ["delivered", "delivered", "delivered"]);
  });

  test("many messages are read at once, or all up to one", async () => {
    const [alice, bob] = await pair();
    const ids = [];
    for (let n = 0; n < 6; n++) ids.push((await alice.sendDirect(bob.id, `${n}`))._id);
    await bob.do("mark_read", { message_ids: ids.slice(0, 2) });
    const receipt = { type: "read_receipt", read_by: [bob.id], reader: bob.id };
    const first = { ...receipt, message_id: ids[1], message_ids: ids.slice(0, 2) };
    assert.deepEqual(await alice.next("message_update"), first);
    assert.deepEqual(await bob.do("mark_read", { up_to: ids[4] }), { ok: true });
    const second = { ...receipt, message_id: ids[4], message_ids: ids.slice(2, 5) };
    assert.deepEqual(await alice.next("message_update"), second);
    // The list waits for the store, but not for long: much that other tests have sent is before it.
    const list = () => ok("GET", `/conversations/${bob.id}`);
    await eventually("one unread message", list, ({ conversations: [chat] }) => chat?.unread === 1);
    await bob.refused("not_found", "mark_read", { up_to: NOWHERE });
  });

  test("a blocked user is not heard, and not told", async () => {
    const [alice, bob] = await pair();
    await ok("POST", `/users/${alice.id}/block/${bob.id}`);
    const unheard = await bob.sendDirect(alice.id, "listen!");
    assert.deepEqual(await bob.next("message"), unheard);
    await alice.hasNoMore();
    assert.deepEqual(await ok("GET", `/messages/${alice.id}/${bob.id}`), []);
    assert.equal((await ok("GET", `/messages/${bob.id}/${alice.id}`)).length, 1);
    const [block] = await ok("GET", `/users/${alice.id}/blocks`);
    assert.equal(block.user_id, bob.id);
    isTime(block.blocked_at);
    await ok("DELETE", `/users/${alice.id}/block/${bob.id}`);
    const heard = await bob.sendDirect(alice.id, "hello");
    assert.deepEqual(await alice.next("message"), heard);
  });
});

describe("edit_message", () => {
  test("both users of a direct message are told", async () => {
    const [alice, bob] = await pair();
    const { id } = await alice.sendDirect(bob.id, "teh");
    assert.deepEqual(await alice.do("edit_message", { message_id: id, content: "the" }), { ok: true });
    const update = await bob.next("message_update");
    keys(update, "type message_id new_content edited_at");
    assert.deepEqual([update.type, update.message_id, update.new_content], ["message_edit", id, "the"]);
    isTime(update.edited_at);
    assert.deepEqual(await alice.next("message_update"), update);
    const [row] = await history(bob, alice.id);
    assert.equal(row.content, "the");
  });

  test("the whole room of a group is told", async () => {
    const [alice, bob] = await pair();
    const group = await joinedGroup(alice, bob);
    const { id } = await alice.sendGroup(group._id, "teh");
    await alice.do("edit_message", { message_id: id, content: { fixed: "the" } });
    for (const user of [alice, bob]) {
      const update = await user.next("message_update", { message_id: id });
      assert.deepEqual(update.new_content, { fixed: "the" });
    }
  });

  test("only the sender may", async () => {
    const [alice, bob] = await pair();
    const { id } = await alice.sendDirect(bob.id, "mine");
    await bob.refused("forbidden", "edit_message", { message_id: id, content: "yours" });
    await bob.refused("not_found", "edit_message", { message_id: NOWHERE, content: "x" });
    await alice.refused("invalid_payload", "edit_message", { message_id: id });
    assert.equal((await history(alice, bob.id))[0].content, "mine");
  });
});

describe("delete_message", () => {
  test("for everyone: both users are told, then the one who asked", async () => {
    const [alice, bob] = await pair();
    const { id } = await alice.sendDirect(bob.id, "oops");
    assert.deepEqual(await alice.do("delete_message", { message_id: id }), { ok: true });
    const deleted = await bob.next("message_deleted");
    keys(deleted, "type message_id chat_type deleted_at");
    assert.deepEqual([deleted.type, deleted.message_id, deleted.chat_type], ["message_deleted", id, "direct"]);
    isTime(deleted.deleted_at);
    await alice.next("message");
    assert.deepEqual(await alice.next("message_deleted"), deleted);
    const success = await alice.next("success");
    keys(success, "message");
    assert.equal(typeof success.message, "string");
    assert.deepEqual(await history(alice, bob.id), []);
    await bob.next("message");
    await bob.hasNoMore();
  });

  test("for everyone, in a group: the whole room is told", async () => {
    const [alice, bob] = await pair();
    const group = await joinedGroup(alice, bob);
    const { id } = await alice.sendGroup(group._id, "oops");
    await alice.do("delete_message", { message_id: id, delete_for: "everyone" });
    for (const user of [alice, bob]) {
      assert.equal((await user.next("message_deleted", { message_id: id })).chat_type, "group");
    }
  });

  test("for me: hidden from this user alone, told to this user's sockets alone", async () => {
    const [alice, bob] = await pair();
    const phone = await User.connect(bob.id);
    const { id } = await alice.sendDirect(bob.id, "seen enough");
    await bob.do("delete_message", { message_id: id, delete_for: "me" });
    const hidden = { type: "message_hidden", message_id: id };
    assert.deepEqual(await bob.next("message_deleted"), hidden);
    assert.deepEqual(await phone.next("message_deleted"), hidden);
    await bob.next("success");
    assert.deepEqual((await phone.rest()).map(({ event }) => event), ["message"]);
    assert.deepEqual((await alice.rest()).map(({ event }) => event), ["message"]);
    assert.deepEqual(await history(bob, alice.id), []);
    assert.equal((await history(alice, bob.id)).length, 1);
  });

  test("only the sender may for everyone, only who can see it for himself", async () => {
    const [alice, bob] = await pair();
    const eve = await User.connect(fresh("eve"));
    const { id } = await alice.sendDirect(bob.id, "stays");
    await bob.refused("forbidden", "delete_message", { message_id: id });
    await eve.refused("not_found", "delete_message", { message_id: id, delete_for: "me" });
    await bob.refused("not_found", "delete_message", { message_id: NOWHERE });
    await bob.refused("invalid_payload", "delete_message", { message_id: id, delete_for: "them" });
    assert.equal((await history(alice, bob.id)).length, 1);
  });
});

describe("a message received a millisecond ago", () => {
  const act = {
    "can be marked read": (bob, { id }) => bob.do("mark_read", { message_id: id }),
    "can be hidden": (bob, { id }) => bob.do("delete_message", { message_id: id, delete_for: "me" }),
    "is in history": async (bob, { id, from_user_id }) => {
      const [row] = await history(bob, from_user_id);
      assert.equal(row._id, id);
    },
    "can be edited and deleted by its sender": async (_, { id }, alice) => {
      await alice.do("edit_message", { message_id: id, content: "edited" });
      await alice.do("delete_message", { message_id: id });
    },
  };
  for (const [what, acting] of Object.entries(act)) {
    test(what, async () => {
      const [alice, bob] = await pair();
      for (let n = 0; n < 30; n++) {
        alice.socket.emit("send_message", { to: bob.id, content: `${n}`, type: "direct" });
        await acting(bob, await bob.next("message"), alice);
      }
    });
  }
});

describe("GET /messages/{user_id}/{other_id}", () => {
  test("gives both directions, the newest first, 50 where nothing is said", async () => {
    const [alice, bob] = await pair();
    for (let n = 0; n < 60; n++) await (n % 2 ? alice : bob).sendDirect((n % 2 ? bob : alice).id, `${n}`);
    const rows = await history(alice, bob.id);
    assert.deepEqual(rows.map(({ content }) => content), Array.from({ length: 50 }, (_, n) => `${59 - n}`));
    const from_user_id = alice.id;
    isMessage(rows[0], { content: "59", from_user_id, to_user_id: bob.id, ...readBy(rows[0]) });
    assert.equal((await history(alice, bob.id, { limit: 7 })).length, 7);
    assert.equal((await history(alice, bob.id, { limit: 200 })).length, 60);
    const byDefault = await ok("GET", `/messages/${alice.id}/${bob.id}`);
    assert.equal(byDefault.length, 50);
  });

  const readBy = ({ status, read_by }) => ({ status, read_by });

  test("marks what it returns as read by the user, and nobody is told", async () => {
    const [alice, bob] = await pair();
    const { id } = await alice.sendDirect(bob.id, "x");
    await alice.next("message");
    // The page is as it was before.
    const [row] = await history(bob, alice.id);
    assert.deepEqual([row._id, row.status, row.read_by], [id, "sent", []]);
    await alice.hasNoMore();
    const [seen] = await history(alice, bob.id);
    assert.deepEqual([seen._id, seen.status, seen.read_by], [id, "read", [bob.id]]);
  });

  test("leaves out what the user has hidden, without shortening the page", async () => {
    const [alice, bob] = await pair();
    const ids = [];
    for (let n = 0; n < 5; n++) ids.push((await alice.sendDirect(bob.id, `${n}`)).id);
    await bob.do("delete_message", { message_id: ids[4], delete_for: "me" });
    const rows = await history(bob, alice.id, { limit: 3 });
    assert.deepEqual(rows.map(({ content }) => content), ["3", "2", "1"]);
  });

  test("gives a group's messages to its members", async () => {
    const [alice, bob] = await pair();
    const eve = await User.connect(fresh("eve"));
    const group = await joinedGroup(alice, bob);
    await alice.sendGroup(group._id, "ours");
    const [before] = await history(bob, group._id, { message_type: "group" });
    const ours = { content: "ours", from_user_id: alice.id, group_id: group._id };
    isMessage(before, ours);
    const [seen] = await history(alice, group._id, { message_type: "group" });
    isMessage(seen, { ...ours, status: "read", read_by: [alice.id, bob.id] });
    await fails(403, "GET", `/messages/${eve.id}/${group._id}`, { query: { message_type: "group" } });
    await fails(404, "GET", `/messages/${eve.id}/${NOWHERE}`, { query: { message_type: "group" } });
  });

  test("pages through a conversation in both directions, and jumps to a message", async () => {
    const [alice, bob] = await pair();
    const ids = [];
    for (let n = 0; n < 25; n++) ids.push((await alice.sendDirect(bob.id, `${n}`)).id);
    assert.deepEqual(await walk(bob, alice.id, "before", ids[24], 7), ids.slice(0, 24).reverse());
    assert.deepEqual(await walk(bob, alice.id, "after", ids[0], 7), ids.slice(1));
    await alice.do("delete_message", { message_id: ids[10] });
    assert.deepEqual(await walk(bob, alice.id, "before", ids[10], 7), ids.slice(0, 10).reverse());
    const near = await history(bob, alice.id, { around: ids[20], limit: 4 });
    assert.deepEqual(near.map((row) => row.id), [ids[21], ids[20], ids[19], ids[18]]);
    await fails(404, "GET", `/messages/${bob.id}/${alice.id}`, { query: { around: ids[10] } });
    const both = { before: ids[3], after: ids[3] };
    await unprocessable("GET", `/messages/${bob.id}/${alice.id}`, { query: both });
  });

  test("has nothing to say of a conversation that has not begun", async () => {
    assert.deepEqual(await ok("GET", `/messages/${fresh("a")}/${fresh("b")}`), []);
  });

  test("a parameter of the wrong form is a 422", async () => {
    for (const query of [{ message_type: "x" }, { limit: "many" }, { limit: -1 }]) {
      await unprocessable("GET", "/messages/a/b", { query });
    }
    await unprocessable("GET", "/messages/a/no-id", { query: { message_type: "group" } });
  });
});

describe("GET /search", () => {
  test("finds what was just said, for those who may see it, with an excerpt", async () => {
    const [alice, bob] = await pair();
    const sent = await alice.sendDirect(bob.id, "Crème <brûlée>");
    const search = (user, q) => ok("GET", "/search", { query: { user_id: user.id, q } });
    const { results, more } = await search(bob, "CREME bru");
    assert.equal(more, false);
    assert.equal(results.length, 1);
    const parties = { from_user_id: alice.id, to_user_id: bob.id };
    isMessage(results[0].message, { content: sent.content, ...parties });
    assert.equal(results[0].message._id, sent._id);
    assert.equal(results[0].excerpt, "<mark>Crème</mark> &lt;<mark>brû</mark>lée&gt;");
    assert.deepEqual((await search({ id: fresh("eve") }, "creme")).results, []);
    const again = await alice.sendDirect(bob.id, "crème");
    const page = (before) =>
      ok("GET", "/search", { query: { user_id: bob.id, q: "creme", limit: 1, ...before } });
    const first = await page({});
    assert.deepEqual([first.more, first.next], [true, again._id]);
    const second = await page({ before: first.next });
    assert.equal(second.results[0].message._id, sent._id);
    assert.deepEqual([second.more, second.next], [false, null]);
    await unprocessable("GET", "/search", { query: { user_id: bob.id, q: "" } });
  });
});

describe("DELETE /messages/{message_id}", () => {
  const done = { message: "Message deleted successfully" };

  test("hides the message from the user where nothing else is said", async () => {
    const [alice, bob] = await pair();
    const { id } = await alice.sendDirect(bob.id, "x");
    assert.deepEqual(await ok("DELETE", `/messages/${id}`, { query: { user_id: bob.id } }), done);
    assert.deepEqual(await bob.next("message_deleted"), { type: "message_hidden", message_id: id });
    assert.deepEqual(await history(bob, alice.id), []);
    assert.equal((await history(alice, bob.id)).length, 1);
  });

  test("deletes it for everyone when its sender says so", async () => {
    const [alice, bob] = await pair();
    const { id } = await alice.sendDirect(bob.id, "x");
    const all = { delete_for: "everyone" };
    await fails(403, "DELETE", `/messages/${id}`, { query: { user_id: bob.id, ...all } });
    assert.deepEqual(await ok("DELETE", `/messages/${id}`, { query: { user_id: alice.id, ...all } }), done);
    assert.equal((await bob.next("message_deleted")).type, "message_deleted");
    await fails(404, "DELETE", `/messages/${id}`, { query: { user_id: alice.id, ...all } });
    assert.deepEqual(await history(alice, bob.id), []);
  });

  test("a parameter that is missing or of the wrong form is a 422", async () => {
    await unprocessable("DELETE", `/messages/${NOWHERE}`);
    await unprocessable("DELETE", `/messages/${NOWHERE}`, { query: { user_id: "a", delete_for: "x" } });
    // The old server's ids were any text.
    await fails(404, "DELETE", "/messages/no-id", { query: { user_id: "a" } });
    await fails(404, "DELETE", `/messages/${NOWHERE}`, { query: { user_id: "a" } });
  });
});

describe("groups", () => {
  test("a group is made, and each member is told", async () => {
    const [alice, bob] = await pair();
    const name = fresh("friends");
    const json = { name, member_ids: [alice.id, bob.id, alice.id], created_by: alice.id };
    const group = await ok("POST", "/groups/", { json });
    keys(group, GROUP_KEYS);
    isId(group._id);
    isTime(group.created_at);
    assert.deepEqual([group.name, group.created_by], [name, alice.id]);
    assert.deepEqual(group.member_ids, [alice.id, bob.id]);
    for (const user of [alice, bob]) {
      const told = await user.next("notification");
      keys(told, "type content group_id timestamp event by");
      isTime(told.timestamp);
      assert.deepEqual(
        [told.type, told.content, told.group_id],
        ["group_notification", `You have been added to group: ${name}`, group._id],
      );
      await user.hasNoMore();
    }
  });

  test("its creator is a member only when listed", async () => {
    const json = { name: "theirs", member_ids: [fresh("bob")], created_by: fresh("alice") };
    assert.deepEqual((await ok("POST", "/groups/", { json })).member_ids, json.member_ids);
  });

  test("a body of the wrong form is a 422", async () => {
    const right = { name: "x", member_ids: ["a"], created_by: "a" };
    for (const wrong of [{ name: undefined }, { name: 5 }, { member_ids: "a" }, { created_by: undefined }]) {
      await unprocessable("POST", "/groups/", { json: { ...right, ...wrong } });
    }
    const headers = { "content-type": "application/json" };
    await unprocessable("POST", "/groups/", { body: "{", headers });
  });

  test("a user's groups are listed", async () => {
    const [alice, bob] = await pair();
    const mine = [await makeGroup(alice, bob), await makeGroup(alice)];
    const byId = (a, b) => a._id.localeCompare(b._id);
    const listed = await ok("GET", `/groups/${alice.id}`);
    assert.deepEqual(listed.sort(byId), mine.sort(byId));
    assert.equal((await ok("GET", `/groups/${bob.id}`)).length, 1);
    assert.deepEqual(await ok("GET", `/groups/${fresh("nobody")}`), []);
  });

  test("a group is found by a part of its name, in any case, taken literally", async () => {
    const alice = await User.connect(fresh("alice"));
    const word = fresh("Search.*");
    const json = { name: `The ${word} Group`, member_ids: [alice.id], created_by: alice.id };
    const group = await ok("POST", "/groups/", { json });
    const find = (text) => `/groups/search/${encodeURIComponent(text)}`;
    assert.deepEqual(await ok("GET", find(word.toUpperCase())), [group]);
    await fails(404, "GET", find(word.replace("Se", "..")));
    await fails(404, "GET", find(fresh("no such group")));
  });

  test("a user is added and told", async () => {
    const [alice, bob] = await pair();
    const group = await makeGroup(alice);
    const added = { message: "User added to group" };
    assert.deepEqual(await ok("POST", `/group/${group._id}/${bob.id}`), added);
    const told = await bob.next("notification");
    assert.equal(told.content, `You have been added to group: ${group.name}`);
    const [listed] = await ok("GET", `/groups/${bob.id}`);
    assert.deepEqual(listed.member_ids, [alice.id, bob.id]);
    await fails(404, "POST", `/group/${NOWHERE}/${bob.id}`);
    await unprocessable("POST", `/group/no-id/${bob.id}`);
  });

  test("its creator removes a member: all are told, and the member is out of the room", async () => {
    const [alice, bob] = await pair();
    const group = await joinedGroup(alice, bob);
    const query = { user_id: bob.id, admin_id: alice.id };
    assert.deepEqual(await ok("POST", `/groups/${group._id}/remove`, { query }), {
      message: "Successfully removed from group",
      group_id: group._id,
      removed_user_id: bob.id,
      removed_by: alice.id,
    });
    for (const user of [alice, bob]) {
      const told = await user.next("notification");
      assert.deepEqual([told.type, told.group_id], ["group_notification", group._id]);
    }
    await alice.sendGroup(group._id, "without you");
    await bob.hasNoMore();
    await bob.refused("forbidden", "join_group", group._id);
  });

  test("a member leaves", async () => {
    const [alice, bob] = await pair();
    const group = await joinedGroup(alice, bob);
    const query = { user_id: bob.id, admin_id: bob.id };
    await ok("POST", `/groups/${group._id}/remove`, { query });
    assert.equal((await alice.next("notification")).group_id, group._id);
    assert.deepEqual(await ok("GET", `/groups/${bob.id}`), []);
  });

  test("nobody is removed who may not be", async () => {
    const [alice, bob] = await pair();
    const carol = await User.connect(fresh("carol"));
    const group = await makeGroup(alice, bob, carol);
    const path = `/groups/${group._id}/remove`;
    await fails(403, "POST", path, { query: { user_id: carol.id, admin_id: bob.id } });
    await fails(400, "POST", path, { query: { user_id: alice.id, admin_id: alice.id } });
    await fails(404, "POST", path, { query: { user_id: fresh("nobody"), admin_id: alice.id } });
    await fails(404, "POST", `/groups/${NOWHERE}/remove`, { query: { user_id: "a", admin_id: "b" } });
    await unprocessable("POST", path, { query: { user_id: bob.id } });
    await unprocessable("POST", "/groups/no-id/remove", { query: { user_id: "a", admin_id: "b" } });
  });

  test("a group is deleted with its messages", async () => {
    const [alice, bob] = await pair();
    const group = await joinedGroup(alice, bob);
    const { id } = await alice.sendGroup(group._id, "soon gone");
    const done = { message: "Group deleted successfully" };
    assert.deepEqual(await ok("DELETE", `/groups/${group._id}`), done);
    assert.deepEqual(await ok("GET", `/groups/${alice.id}`), []);
    await fails(404, "DELETE", `/messages/${id}`, { query: { user_id: alice.id } });
    await fails(404, "DELETE", `/groups/${group._id}`);
    await unprocessable("DELETE", "/groups/no-id");
  });
});

describe("life in a group", () => {
  const of = (group, tail = "") => `/groups/${group._id}${tail}`;

  async function told(event, fields, ...users) {
    for (const user of users) {
      const notice = await user.next("notification", { event });
      assert.equal(notice.type, "group_notification");
      isTime(notice.timestamp);
      for (const [key, value] of Object.entries(fields)) assert.equal(notice[key], value, key);
    }
  }

  test("its owner renames it, and all members are told", async () => {
    const [alice, bob] = await pair();
    const group = await joinedGroup(alice, bob);
    const name = fresh("renamed");
    const row = await ok("PATCH", of(group), { json: { admin_id: alice.id, name } });
    keys(row, `${GROUP_KEYS} member_count`);
    assert.deepEqual([row.name, row.owner_id, row.created_by], [name, alice.id, alice.id]);
    const event = { group_id: group._id, by: alice.id, name };
    await told("renamed", event, alice, bob);
    await fails(403, "PATCH", of(group), { json: { admin_id: bob.id, name } });
    await unprocessable("PATCH", of(group), { json: { admin_id: alice.id } });
  });

  test("a member is made an admin, and then its owner", async () => {
    const [alice, bob] = await pair();
    const group = await joinedGroup(alice, bob);
    const path = of(group, `/members/${bob.id}/role`);
    const admin = await ok("PUT", path, { json: { admin_id: alice.id, role: "admin" } });
    assert.deepEqual(admin.admin_ids, [bob.id]);
    await told("role_changed", { user_id: bob.id, by: alice.id, role: "admin" }, alice, bob);
    await ok("PATCH", of(group), { json: { admin_id: bob.id, name: "theirs" } });
    const owner = await ok("PUT", path, { json: { admin_id: alice.id, role: "owner" } });
    assert.deepEqual([owner.owner_id, owner.admin_ids], [bob.id, [alice.id]]);
    await told("owner_changed", { user_id: bob.id, by: alice.id }, alice, bob);
    await fails(403, "PUT", path, { json: { admin_id: alice.id, role: "member" } });
  });

  test("a member leaves and hears nothing more", async () => {
    const [alice, bob] = await pair();
    const group = await joinedGroup(alice, bob);
    const query = { user_id: bob.id };
    assert.deepEqual(await ok("POST", of(group, "/leave"), { query }), {
      message: "Successfully left the group",
      group_id: group._id,
      removed_user_id: bob.id,
      removed_by: bob.id,
    });
    await told("member_left", { user_id: bob.id, by: bob.id }, alice, bob);
    await alice.sendGroup(group._id, "without you");
    await bob.hasNoMore();
    await fails(400, "POST", of(group, "/leave"), { query: { user_id: alice.id } });
  });

  test("whoever has the link comes in, as often as it says", async () => {
    const [alice, bob] = await pair();
    const group = await joinedGroup(alice);
    const json = { admin_id: alice.id, max_uses: 1 };
    const invitation = await ok("POST", of(group, "/invitations"), { json });
    keys(invitation, "token url group_id created_by created_at expires_at max_uses uses");
    const shown = await ok("GET", invitation.url);
    keys(shown, "group_id name member_count expires_at");
    assert.deepEqual([shown.name, shown.member_count], [group.name, 1]);
    const accept = (user) => [`${invitation.url}/accept`, { json: { user_id: user.id } }];
    const row = await ok("POST", ...accept(bob));
    assert.deepEqual(row.member_ids, [alice.id, bob.id]);
    await told("member_added", { user_id: bob.id, group_id: group._id }, alice, bob);
    await bob.do("join_group", group._id);
    await fails(410, "POST", ...accept({ id: fresh("carol") }));
    const [path, query] = [of(group, "/invitations"), { admin_id: alice.id }];
    assert.deepEqual(await ok("GET", path, { query }), []);
    const other = await ok("POST", path, { json: { admin_id: alice.id } });
    await ok("DELETE", `${path}/${other.token}`, { query });
    await fails(410, "GET", other.url);
    await fails(404, "GET", "/invitations/none");
  });

  test("who is silenced is refused, and heard again later", async () => {
    const [alice, bob] = await pair();
    const group = await joinedGroup(alice, bob);
    const path = of(group, `/members/${bob.id}/silence`);
    const row = await ok("PUT", path, { json: { admin_id: alice.id, until: null } });
    assert.deepEqual(row.silenced, [{ user_id: bob.id, until: null }]);
    await told("silenced", { user_id: bob.id, by: alice.id, until: null }, alice, bob);
    const message = { to: group._id, content: "x", type: "group" };
    await bob.refused("forbidden", "send_message", message);
    await ok("DELETE", path, { query: { admin_id: alice.id } });
    await told("unsilenced", { user_id: bob.id }, alice, bob);
    await bob.sendGroup(group._id, "thank you");
  });

  test("a muted group shows in the list and is told to its user alone", async () => {
    const [alice, bob] = await pair();
    const group = await joinedGroup(alice, bob);
    const muted = await ok("PUT", of(group, "/mute"), { json: { user_id: bob.id } });
    assert.deepEqual(muted, { group_id: group._id, muted: true, muted_until: null });
    await told("muted", { user_id: bob.id, until: null }, bob);
    await alice.hasNoMore();
    const [row] = (await ok("GET", `/conversations/${bob.id}`)).conversations;
    assert.deepEqual([row.group_id, row.muted, row.muted_until], [group._id, true, null]);
    const unmuted = await ok("DELETE", of(group, "/mute"), { query: { user_id: bob.id } });
    assert.deepEqual(unmuted, { group_id: group._id, muted: false, muted_until: null });
  });
});

describe("uploads", () => {
  for (const [extension, content_type, bytes] of files) {
    test(`${extension} is taken as ${content_type} and comes back as it was`, async () => {
      const answer = await upload(bytes, `My ${extension}.${extension.toUpperCase()}`);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      const { url, ...rest } = answer.body;
      assert.match(url, new RegExp(`^/uploads/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\.${extension}$`));
      const filename = `My ${extension}.${extension.toUpperCase()}`;
      assert.deepEqual(rest, { content_type, filename, size: bytes.length });

      const back = await http("GET", url);
      assert.equal(back.status, 200);
      assert.deepEqual(back.body, bytes);
      assert.equal(back.headers.get("x-content-type-options"), "nosniff");
      assert.ok(back.headers.get("cache-control") && back.headers.get("content-type"));
      const attached = back.headers.get("content-disposition")?.startsWith("attachment") ?? false;
      assert.equal(attached, ["doc", "docx"].includes(extension));
    });
  }

  test("/upload without a slash at its end is the same route", async () => {
    assert.equal((await upload(png, "dot.png", "/upload")).status, 200);
  });

  test("a part of a file can be asked for", async () => {
    const { url } = (await upload(png, "dot.png")).body;
    const part = await http("GET", url, { headers: { range: "bytes=1-3" } });
    assert.equal(part.status, 206);
    assert.equal(part.headers.get("content-range"), `bytes 1-3/${png.length}`);
    assert.equal(part.body.toString(), "PNG");
    const beyond = await http("GET", url, { headers: { range: "bytes=9999-" } });
    assert.equal(beyond.status, 416);
  });

  test("what a browser could run is served as an attachment", async () => {
    const name = `${fresh("old")}.html`;
    await writeFile(`${need("UPLOAD_DIR")}/${name}`, "<script>alert(1)</script>");
    const { status, headers } = await http("GET", `/uploads/${name}`);
    assert.equal(status, 200);
    assert.match(headers.get("content-disposition"), /^attachment/);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
  });

  test("a file that is not allowed, or not what its name says, is a 400", async () => {
    for (const [bytes, name] of [[png, "dot.exe"], [png, "dot"], ["<script>", "dot.png"], [png, "dot.pdf"]]) {
      const answer = await upload(bytes, name);
      assert.equal(answer.status, 400, name);
      keys(answer.body, "detail");
    }
  });

  test("a file over the limit is a 413, one at the limit is taken", async () => {
    const padded = (size) => Buffer.concat([png, Buffer.alloc(size - png.length)]);
    assert.equal((await upload(padded(MAX_UPLOAD_BYTES), "most.png")).status, 200);
    const answer = await upload(padded(MAX_UPLOAD_BYTES + 1), "more.png");
    assert.equal(answer.status, 413);
    keys(answer.body, "detail");
  });

  test("a request without the file is a 422", async () => {
    const body = new FormData();
    body.append("other", "x");
    await unprocessable("POST", "/upload/", { body });
    await unprocessable("POST", "/upload/", { json: {} });
  });

  test("a file that is not there, or outside, is a 404", async () => {
    await fails(404, "GET", "/uploads/00000000-0000-4000-8000-000000000000.png");
    await fails(404, "GET", "/uploads/..%2fCargo.toml");
    await fails(404, "GET", "/uploads/%2e%2e%2f%2e%2e%2fetc%2fpasswd");
  });
});

describe("health", () => {
  const INDEXES = {
    messages: ["user_messages", "group_messages", "message_timestamp", "message_type_status", "message_read_by"],
    groups: ["group_members", "group_creation_time", "group_name"],
  };

  test("/health/db counts, and names the indexes", async () => {
    const alice = await User.connect(fresh("alice"));
    await makeGroup(alice);
    const health = await ok("GET", "/health/db");
    keys(health, "messages_count groups_count indexes store round_trip_ms circuit_breaker_status pool");
    assert.ok(Number.isInteger(health.messages_count) && health.groups_count >= 1);
    assert.ok(health.round_trip_ms >= 0);
    assert.equal(health.circuit_breaker_status, "closed");
    assert.ok(health.indexes.messages && health.indexes.groups);
    if (need("STORE") === "mongodb") {
      for (const [collection, names] of Object.entries(INDEXES)) {
        for (const name of names) assert.ok(health.indexes[collection][name]?.key.length > 0, name);
      }
      keys(health.pool, "open in_use waiting max");
    }
  });

  test("/health/message-buffer has the old server's figures", async () => {
    const alice = await User.connect(fresh("alice"));
    await alice.sendDirect(alice.id, "count me");
    const { status, stats, ...rest } = await ok("GET", "/health/message-buffer");
    assert.deepEqual([status, rest], ["healthy", {}]);
    const old = [
      "total_messages", "successful_flushes", "failed_flushes", "retry_count", "circuit_breaker_trips",
      "current_buffer_size", "current_batch_size", "failure_count",
    ];
    const ours = [
      "oldest_unflushed_ms", "buffer_bytes", "dead_letters", "journal_segments", "journal_bytes",
    ];
    const words = ["last_flush", "circuit_breaker_status", "write_concern", "journal_sync", "journal_disk"];
    keys(stats, [...old, ...ours, ...words].join(" "));
    assert.deepEqual([stats.journal_sync, stats.journal_disk], ["always", "ok"]);
    assert.equal(stats.write_concern, need("STORE") === "mongodb" ? "majority" : "disk");
    for (const name of [...old, ...ours]) assert.ok(Number.isInteger(stats[name]), name);
    assert.equal(stats.circuit_breaker_status, "closed");
    assert.ok(stats.total_messages >= 1);
    if (stats.last_flush !== null) isTime(stats.last_flush);
  });

  for (const path of ["/health", "/health/live", "/health/ready"]) {
    test(`${path} answers`, () => ok("GET", path));
  }

  test("/metrics are Prometheus text", async () => {
    const { status, headers, body } = await http("GET", "/metrics");
    assert.equal(status, 200);
    assert.match(headers.get("content-type"), /^(text\/plain|application\/openmetrics-text)/);
    assert.match(body.toString(), /^# TYPE banter_\w+ (counter|gauge|histogram)$/m);
  });
});

describe("the web", () => {
  test("/ is the chat page, and its parts are there", async () => {
    const { status, headers, body } = await http("GET", "/");
    assert.equal(status, 200);
    assert.match(headers.get("content-type"), /^text\/html/);
    const parts = [...body.toString().matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path);
    assert.ok(parts.length >= 3);
    for (const path of parts) assert.equal((await http("GET", path)).status, 200, path);
  });

  test("any origin may call, with credentials, any method and any header", async () => {
    const origin = "https://elsewhere.example";
    const polling = "/socket.io/?EIO=4&transport=polling";
    for (const path of [`/groups/${fresh("a")}`, `/groups/search/${fresh("none")}`, polling]) {
      const { headers } = await http("GET", path, { headers: { origin } });
      assert.equal(headers.get("access-control-allow-origin"), origin, path);
      assert.equal(headers.get("access-control-allow-credentials"), "true", path);
    }
    const asked = { "access-control-request-method": "DELETE", "access-control-request-headers": "x-any" };
    const { status, headers } = await http("OPTIONS", `/messages/${NOWHERE}`, { headers: { origin, ...asked } });
    assert.ok(status === 200 || status === 204, `${status}`);
    assert.equal(headers.get("access-control-allow-origin"), origin);
    assert.match(headers.get("access-control-allow-methods"), /DELETE/);
    assert.match(headers.get("access-control-allow-headers"), /x-any/i);
  });

  test("a route that is not there is a 404", () => fails(404, "GET", "/no/such/route"));
});

// Last, and for what it says in a failure: this run is about this client.
test(`${base} was driven by Socket.IO client ${client} over ${transport}`, async () => {
  const alice = await User.connect(fresh("alice"));
  const engine = alice.socket.io.engine;
  assert.equal(engine.transport.name, transport);
});
