// Builds what is shown. Texts from users reach the page as text alone, never as HTML.
import { nameOf } from "./people.js";

export const find = (id) => document.getElementById(id);

// An element with properties and children; a child that is null is left out.
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

const TOAST_MS = 5000;

export function toast(text, kind = "") {
  const shown = make("div", { className: `toast ${kind}`, textContent: text });
  find("toasts").append(shown);
  setTimeout(() => shown.remove(), TOAST_MS);
}

// The address of a media file, or null where it is none that a page should follow.
function safeUrl(text) {
  try {
    const url = new URL(text, location.origin);
    return ["http:", "https:", "blob:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

// A picture, a film, a sound, or a link to the file.
export function media(kind, url, name) {
  const src = url && safeUrl(url);
  if (!src) return null;
  switch (kind) {
    case "image":
      return make("img", { src, alt: name, loading: "lazy" });
    case "video":
      return make("video", { src, controls: true, preload: "metadata" });
    case "audio":
    case "voice":
      return make("audio", { src, controls: true, preload: "metadata" });
    default:
      return make("a", { href: src, textContent: name, target: "_blank", rel: "noopener" });
  }
}

function textOf({ content }) {
  if (typeof content === "string") return content;
  const known = content.text ?? content.caption ?? content.filename;
  return typeof known === "string" ? known : JSON.stringify(content);
}

function ticks(message) {
  const others = message.read_by.filter((reader) => reader !== message.from_user_id);
  const read = others.length > 0;
  return make("span", {
    className: read ? "ticks read" : "ticks",
    textContent: read ? "✓✓" : "✓",
    title: read ? `Read by ${others.map(nameOf).join(", ")}` : "Sent",
  });
}

function timeOf({ timestamp }) {
  const time = new Date(timestamp);
  const textContent = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return make("time", { dateTime: timestamp, title: time.toLocaleString(), textContent });
}

const action = (textContent, onclick) => make("button", { type: "button", textContent, onclick });

// A message. `act` has what its buttons do: edit(message, text), hide(message), remove(message).
export function messageItem(message, me, act) {
  const mine = message.from_user_id === me;
  const text = textOf(message);
  const name = message.media_metadata?.filename ?? "file";
  const item = make(
    "li",
    { className: mine ? "message mine" : "message" },
    make("div", { className: "author", textContent: nameOf(message.from_user_id) }),
    media(message.content_type, message.media_url, String(name)),
    make("div", { className: "body", textContent: text }),
    make(
      "div",
      { className: "meta" },
      timeOf(message),
      message.edited_at ? make("span", { textContent: "edited" }) : null,
      mine ? ticks(message) : null,
      make(
        "span",
        { className: "actions" },
        mine ? action("Edit", () => startEdit(item, message, text, act)) : null,
        action("Delete for me", () => act.hide(message)),
        mine ? action("Delete for everyone", () => act.remove(message)) : null,
      ),
    ),
  );
  item.dataset.id = message.id;
  return item;
}

function startEdit(item, message, text, act) {
  const body = item.querySelector(".body");
  const input = make("input", { value: text, ariaLabel: "New text" });
  const form = make("form", { className: "edit" }, input, make("button", { textContent: "Save" }));
  form.onsubmit = (event) => {
    event.preventDefault();
    act.edit(message, input.value);
  };
  form.onkeydown = (event) => event.key === "Escape" && form.replaceWith(body);
  body.replaceWith(form);
  input.focus();
}

export const titleOf = (chat) => (chat.type === "direct" ? nameOf(chat.id) : chat.name);

// The entries of a list of chats: each a button with a badge of what is unread.
export function chatList(list, chats, current, open) {
  const entries = chats.map((chat) => {
    const badge = chat.unread
      ? make("span", { className: "badge", textContent: chat.unread, title: "unread" })
      : null;
    const button = make("button", { onclick: () => open(chat) }, make("span", { textContent: titleOf(chat) }), badge);
    if (chat === current) button.setAttribute("aria-current", "true");
    return make("li", {}, button);
  });
  list.replaceChildren(...entries);
}
