// The chat page: who is signed in, which chat is open, and what is in it.
import * as api from "./api.js";
import { attempt, onSubmit } from "./forms.js";
import * as people from "./people.js";
import * as session from "./session.js";
import { whoSignsIn } from "./sign_in.js";
import { chatList, find, make, media, messageItem, titleOf, toast } from "./view.js";

const HINT_MS = 3000; // between two words to the server that I type
const TYPING_MS = 10_000; // without a word, somebody has stopped typing

let me = null;
let socket = null;
let connected = false;
let open = null; // the chat that is shown: {type, id, name, unread, members?}
let opening = 0; // counts openings, so that a history that comes late is dropped
let attached = null; // the file that goes with the next message: {saved, name}
const chats = new Map(); // by type and id
const messages = new Map(); // those of the open chat, by id, in order
const announced = new Set(); // messages whose senders have been told that they were read
const typists = new Map(); // who types in the open chat, each with the timer that forgets them
let status = ""; // how the other user of the open chat is
let hinted = 0; // when the server was last told that I type
const unseen = new Set(); // messages that are shown in a tab that nobody looks at

const key = (type, id) => `${type}:${id}`;

function chatWith(type, id) {
  if (!chats.has(key(type, id))) chats.set(key(type, id), { type, id, name: id, unread: 0 });
  return chats.get(key(type, id));
}

function showChats() {
  for (const type of ["direct", "group"]) {
    const listed = [...chats.values()].filter((chat) => chat.type === type);
    chatList(find(`${type}-list`), listed, open, (chat) => attempt(() => openChat(chat)));
  }
}

async function loadGroups() {
  const groups = await api.groupsOf(me);
  const ids = new Set(groups.map(({ _id }) => _id));
  for (const [name, chat] of chats) {
    if (chat.type === "group" && !ids.has(chat.id)) chats.delete(name);
  }
  for (const { _id, name, member_ids } of groups) {
    Object.assign(chatWith("group", _id), { name, members: member_ids });
  }
  await Promise.all(groups.map(({ _id }) => socket.ask("join_group", _id)));
  if (open?.type === "group" && !ids.has(open.id)) closeChat();
  showChats();
  showHeader();
}

function closeChat() {
  open = null;
  find("chat").hidden = true;
  find("nothing-open").hidden = false;
}

function showHeader() {
  if (!open) return;
  find("title").textContent = titleOf(open);
  find("members").textContent = open.members?.map(people.nameOf).join(", ") ?? "";
  find("add-member").hidden = open.type !== "group";
  showLife();
}

// Who types in the open chat, or else how the other user is.
function showLife() {
  const typing = [...typists.keys()].map(people.nameOf).join(", ");
  find("life").textContent = typing ? `${typing} typing…` : status;
}

function forgetLife() {
  for (const timer of typists.values()) clearTimeout(timer);
  typists.clear();
  status = "";
}

async function loadPresence() {
  // An id with a comma can't be asked for.
  if (open?.type !== "direct" || open.id.includes(",")) return;
  for (const row of await api.presenceOf(open.id)) present(row);
}

function present(row) {
  if (open?.type !== "direct" || open.id !== row.user_id) return;
  const seen = row.last_seen ? `last seen ${new Date(row.last_seen).toLocaleString()}` : "";
  status = row.status === "online" ? "is online" : seen;
  showLife();
}

function typed({ user_id, to, type, is_typing }) {
  const here = type === "group" ? to : user_id;
  if (open?.type !== type || open.id !== here) return;
  clearTimeout(typists.get(user_id));
  typists.delete(user_id);
  // A stop may be lost on the way.
  if (is_typing) typists.set(user_id, setTimeout(() => typed({ user_id, to, type }), TYPING_MS));
  showLife();
}

function typing() {
  if (!open || !connected || Date.now() - hinted < HINT_MS) return;
  hinted = Date.now();
  socket.hint("typing_start", { to: open.id, type: open.type });
}

async function openChat(chat) {
  if (open !== chat) {
    messages.clear();
    forgetLife();
    hinted = 0;
  }
  open = chat;
  chat.unread = 0;
  find("chat").hidden = false;
  find("nothing-open").hidden = true;
  showHeader();
  showChats();
  showMessages();
  find("text").focus();
  attempt(loadPresence);
  await loadHistory();
}

async function loadHistory() {
  const turn = ++opening;
  const rows = await api.history(me, open);
  if (turn !== opening) return;
  // What came live meanwhile is newer than the page, or in it.
  const live = [...messages.values()];
  messages.clear();
  for (const message of rows) messages.set(message.id, message);
  const newest = rows.at(-1)?.timestamp ?? "";
  for (const message of live) {
    if (message.timestamp > newest) messages.set(message.id, message);
  }
  showMessages();
  const lastOwn = rows.findLastIndex((message) => message.from_user_id === me);
  for (const message of rows.slice(lastOwn + 1)) announceRead(message);
}

// Tells the sender that the message was read. History marks it as read too, but tells nobody.
function announceRead(message) {
  if (message.from_user_id === me || announced.has(message.id)) return;
  if (document.hidden) {
    unseen.add(message);
    return;
  }
  announced.add(message.id);
  attempt(() => socket.ask("mark_read", { message_id: message.id }));
}

const act = {
  edit: (message, content) =>
    attempt(() => socket.ask("edit_message", { message_id: message.id, content })),
  hide: (message) =>
    attempt(() => socket.ask("delete_message", { message_id: message.id, delete_for: "me" })),
  remove: (message) =>
    attempt(() => socket.ask("delete_message", { message_id: message.id, delete_for: "everyone" })),
};

function showMessages() {
  find("messages").replaceChildren(...[...messages.values()].map((each) => messageItem(each, me, act)));
  scrollToEnd();
}

const itemOf = (id) => find("messages").querySelector(`[data-id="${id}"]`);

function scrollToEnd() {
  const list = find("messages");
  list.scrollTop = list.scrollHeight;
}

function received(message) {
  const other = message.from_user_id === me ? message.to_user_id : message.from_user_id;
  const chat = message.type === "group" ? chatWith("group", message.group_id) : chatWith("direct", other);
  if (chat !== open) {
    if (message.from_user_id !== me) chat.unread += 1;
  } else if (!messages.has(message.id)) {
    messages.set(message.id, message);
    find("messages").append(messageItem(message, me, act));
    scrollToEnd();
    announceRead(message);
  }
  showChats();
}

function updated(update) {
  const message = messages.get(update.message_id);
  if (!message) return;
  if (update.type === "read_receipt") message.read_by = update.read_by;
  if (update.type === "message_edit") {
    message.content = update.new_content;
    message.edited_at = update.edited_at;
  }
  const item = itemOf(message.id);
  // An edit that is being typed is not interrupted by a receipt.
  const editing = item.querySelector(".edit") && update.type === "read_receipt";
  if (!editing) item.replaceWith(messageItem(message, me, act));
}

// Names have become known.
function renamed() {
  showChats();
  showHeader();
  for (const message of messages.values()) {
    const item = itemOf(message.id);
    if (!item.querySelector(".edit")) item.replaceWith(messageItem(message, me, act));
  }
}

function deleted({ message_id }) {
  if (!messages.delete(message_id)) return;
  itemOf(message_id).remove();
}

async function notified({ type, content, user_id, by, from_user_id }) {
  if (type === "group_notification") attempt(loadGroups);
  const named = [user_id, by, from_user_id].filter((id) => id && content.includes(id));
  named.forEach(people.nameOf);
  await people.settled();
  toast(named.reduce((text, id) => text.replaceAll(id, () => people.nameOf(id)), content));
}

function setState(text) {
  connected = text === "online";
  find("state").textContent = text;
  find("state").className = connected ? "online" : "";
  find("send").disabled = !connected;
}

// On each connection: what happened while there was none is read again.
async function joined() {
  setState("online");
  await loadGroups();
  attempt(loadPresence);
  if (open) await loadHistory();
}

async function signIn() {
  const { user_id, username, hasName } = await whoSignsIn();
  me = user_id;
  if (hasName) people.haveNames(renamed);
  find("me").textContent = username;
  find("app").hidden = false;
  showChats();
  socket = api.connect(me, {
    connect: () => attempt(joined),
    disconnect: () => setState("reconnecting"),
    connect_error: (error) => {
      setState("reconnecting");
      // A token that is over is renewed, and that is no news.
      if (!hasName || socket.isTrying()) toast(`No connection: ${error.message}`, "bad");
    },
    message: received,
    message_update: updated,
    message_deleted: deleted,
    notification: notified,
    typing: typed,
    presence: present,
  });
}

function signOut() {
  socket.close();
  if (session.isLeft()) attempt(session.leave);
  else location.reload();
}

function dropAttachment() {
  attached = null;
  find("file").value = "";
  find("preview").hidden = true;
  for (const shown of find("preview").children) {
    if (shown.src?.startsWith("blob:")) URL.revokeObjectURL(shown.src);
  }
  find("preview").replaceChildren();
}

async function attach(file) {
  dropAttachment();
  const preview = find("preview");
  const shown = media(file.type.split("/")[0], URL.createObjectURL(file), file.name);
  const remove = make("button", { type: "button", className: "quiet", textContent: "Remove", onclick: dropAttachment });
  const note = make("span", { textContent: `Uploading ${file.name} …` });
  preview.replaceChildren(shown, note, remove);
  preview.hidden = false;
  try {
    const saved = await api.upload(file);
    if (!note.isConnected) return;
    attached = { saved, name: file.name };
    note.textContent = `${file.name} is ready to send`;
  } catch (error) {
    if (note.isConnected) dropAttachment();
    throw error;
  }
}

async function send() {
  const text = find("text").value;
  if (!open || !connected || (!text.trim() && !attached)) return;
  const message = { to: open.id, type: open.type, content: text, client_id: api.clientId() };
  if (attached) {
    const { saved, name } = attached;
    message.content_type = saved.content_type;
    message.media_url = saved.url;
    message.media_metadata = { filename: name, size: saved.size };
    if (!text.trim()) message.content = name;
  }
  find("text").value = "";
  hinted = 0;
  dropAttachment();
  try {
    await socket.ask("send_message", message);
  } catch (error) {
    if (!find("text").value) find("text").value = text;
    throw error;
  }
}

// A message may be sent while others are under way.
find("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(send);
});
onSubmit("open-direct", async (form) => {
  const chat = chatWith("direct", await people.idOf(find("direct-id").value.trim()));
  form.reset();
  await openChat(chat);
});
onSubmit("new-group", async (form) => {
  const named = find("group-members").value.split(",").map((id) => id.trim()).filter(Boolean);
  const others = await Promise.all(named.map(people.idOf));
  const name = find("group-name").value.trim();
  const group = await api.createGroup({ name, member_ids: [me, ...others], created_by: me });
  form.reset();
  await loadGroups();
  await openChat(chatWith("group", group._id));
});
onSubmit("add-member", async (form) => {
  const name = find("member-id").value.trim();
  const group = open.id;
  await api.addMember(group, await people.idOf(name));
  form.reset();
  toast(`${name} is in the group`);
  await loadGroups();
});
find("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) attempt(() => attach(file));
});
find("text").addEventListener("input", typing);
find("sign-out").addEventListener("click", signOut);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  for (const message of unseen) announceRead(message);
  unseen.clear();
});
attempt(signIn);
