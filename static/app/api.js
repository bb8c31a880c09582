// The server's HTTP routes, and its socket with promises for acknowledgements.
/* global io */
import { call } from "./http.js";
import * as session from "./session.js";

// What is not acknowledged in time, or was under way when the connection broke, is sent again.
const ACK_TIMEOUT_MS = 10_000;
const RETRIES = 12;

// A request in the name of whoever is signed in. A token that is not good any more is renewed, once.
async function request(method, path, options) {
  const token = session.token();
  try {
    return await call(method, path, { ...options, token });
  } catch (error) {
    if (error.status !== 401 || !token) throw error;
    return call(method, path, { ...options, token: await session.renew(token) });
  }
}

const part = encodeURIComponent;

export const groupsOf = (user) => request("GET", `/groups/${part(user)}`);
export const presenceOf = (user) => request("GET", "/presence", { query: { user_ids: user } });
export const health = () => call("GET", "/health");
export const createGroup = (json) => request("POST", "/groups/", { json });
export const addMember = (group, user) => request("POST", `/group/${group}/${part(user)}`);

// Users who have an account, in the order of their names: those after a name, or the first.
export function usersAfter(after, limit) {
  return request("GET", "/user/get-users", { query: after === null ? { limit } : { after, limit } });
}

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

// Connects as a user, with the tokens of the sign-in where there are any. `on` maps the names of
// events to what handles them.
export function connect(user, on) {
  const lease = session.token() === null ? null : new session.Lease();
  const auth = lease?.auth ?? { user_id: user };
  const socket = io({ auth, retries: RETRIES, ackTimeout: ACK_TIMEOUT_MS });
  for (const [event, handle] of Object.entries(on)) socket.on(event, handle);
  lease?.follow(socket);
  return {
    close: () => socket.close(),
    // Whether it tries by itself to connect.
    isTrying: () => socket.active,
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
