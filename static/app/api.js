// The server's HTTP routes, and its socket with promises for acknowledgements.
/* global io */

// What is not acknowledged in time, or was under way when the connection broke, is sent again.
const ACK_TIMEOUT_MS = 10_000;
const RETRIES = 12;

// The text of an error answer: `{detail: "..."}` or `{detail: [{loc, msg}]}`.
function reason(body, status) {
  if (Array.isArray(body?.detail)) return body.detail.map(({ msg }) => msg).join(", ");
  return body?.detail ?? `The server answered ${status}`;
}

async function request(method, path, { query, json, body } = {}) {
  const url = new URL(path, location.origin);
  url.search = new URLSearchParams(query);
  const headers = json ? { "content-type": "application/json" } : {};
  const response = await fetch(url, { method, headers, body: json ? JSON.stringify(json) : body });
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Error(reason(answer, response.status));
  return answer;
}

const part = encodeURIComponent;

export const groupsOf = (user) => request("GET", `/groups/${part(user)}`);
export const presenceOf = (user) => request("GET", "/presence", { query: { user_ids: user } });
export const createGroup = (json) => request("POST", "/groups/", { json });
export const addMember = (group, user) => request("POST", `/group/${group}/${part(user)}`);

// The newest messages of a conversation, the oldest of them first.
export async function history(user, chat) {
  const query = { message_type: chat.type, limit: 50 };
  const rows = await request("GET", `/messages/${part(user)}/${part(chat.id)}`, { query });
  return rows.reverse();
}

export function upload(file) {
  const body = new FormData();
  body.append("file", file);
  return request("POST", "/upload/", { body });
}

// A name for a message: sent again under it, it is the same message. (`crypto.randomUUID` is missing
// on pages that came over plain HTTP.)
export function clientId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Connects as a user. `on` maps the names of events to what handles them.
export function connect(user, on) {
  const socket = io({ auth: { user_id: user }, retries: RETRIES, ackTimeout: ACK_TIMEOUT_MS });
  for (const [event, handle] of Object.entries(on)) socket.on(event, handle);
  return {
    close: () => socket.close(),
    // Sends what is worth nothing later: it is neither kept nor sent again.
    hint: (event, payload) => socket.volatile.emit(event, payload),
    // Sends an event; resolves with its acknowledgement, rejects when it is refused.
    async ask(event, payload) {
      const ack = await socket.emitWithAck(event, payload);
      if (!ack.ok) throw new Error(ack.error.message);
      return ack;
    },
  };
}
