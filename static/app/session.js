// The sign-in of this tab where the server asks for tokens: keeping, renewing and ending it.
import { call } from "./http.js";

// The refresh token outlives a reload in sessionStorage, not in localStorage: that would be there
// for whoever opens the browser next, and all tabs would share a token that works only once. (A tab
// that is duplicated takes a copy along. When both have used it, the server ends the sign-in.)
const REFRESH_TOKEN = "banter.refresh_token";
const FAREWELL = "banter.farewell";

const FIRST_WAIT_MS = 500; // before a renewal that failed is tried again; doubles each time
const LONGEST_WAIT_MS = 30_000;

// Answers that say that the sign-in is over; after all others the same token may work later.
const FINAL = [401, 403, 404, 422];

const REASONS = {
  signed_out: "You have been signed out",
  banned: "This account has been banned",
};

let user = null; // who is signed in: {user_id, username, ...}
let access = null; // the newest access token, in memory alone
let renewal = null; // the renewal under way; whoever needs one meanwhile waits for it
let isOver = false; // whether the page is about to start anew

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

function keep(answer) {
  user = answer.user;
  access = answer.access_token;
  sessionStorage.setItem(REFRESH_TOKEN, answer.refresh_token);
  return user;
}

// The newest access token; null before a sign-in, and where sign-in is open.
export const token = () => access;

// Whether an earlier page of this tab has left a sign-in.
export const isLeft = () => sessionStorage.getItem(REFRESH_TOKEN) !== null;

// Registers or signs in: `route` is `register` or `login`.
export async function enter(route, json) {
  return keep(await call("POST", `/api/auth/${route}`, { json }));
}

// Signs in again with what an earlier page has left.
export async function resume() {
  await renew(null);
  return user;
}

// Resolves with a newer access token than `old`: the one that has come meanwhile, or the next.
export function renew(old) {
  if (access !== old) return Promise.resolve(access);
  renewal ??= refresh().finally(() => (renewal = null));
  return renewal;
}

async function refresh() {
  const refresh_token = sessionStorage.getItem(REFRESH_TOKEN);
  try {
    const answer = await call("POST", "/api/auth/refresh", { json: { refresh_token } });
    // Who has left meanwhile does not come back.
    if (!isLeft()) throw new Error("You have signed out");
    keep(answer);
    return access;
  } catch (error) {
    if (FINAL.includes(error.status)) end(`Sign in again: ${error.message}`);
    throw error;
  }
}

// Forgets the sign-in and starts the page anew: nothing that one user saw is there for the next.
function end(farewell) {
  if (isOver) return;
  isOver = true;
  sessionStorage.removeItem(REFRESH_TOKEN);
  if (farewell) sessionStorage.setItem(FAREWELL, farewell);
  location.reload();
}

// Why the last sign-in ended, once; null where its user knows.
export function farewell() {
  const text = sessionStorage.getItem(FAREWELL);
  sessionStorage.removeItem(FAREWELL);
  return text;
}

// Signs out, on the server too. The refresh token names the sign-in even if the access token is over.
export async function leave() {
  const refresh_token = sessionStorage.getItem(REFRESH_TOKEN);
  sessionStorage.removeItem(REFRESH_TOKEN);
  let problem = null;
  try {
    await call("POST", "/api/auth/logout", { json: { refresh_token } });
  } catch (error) {
    problem = `The server was not told that you left: ${error.message}`;
  }
  end(problem);
}

// A socket's `auth`, and what keeps it connected: it lives as long as the token that it knows.
export class Lease {
  #given = null; // the newest token that the socket has told
  #failures = 0; // in a row

  // Called on each connection, so that a reconnect brings the newest token.
  auth = (give) => give({ token: (this.#given = access) });

  follow(socket) {
    socket.on("connect", () => (this.#failures = 0));
    socket.on("token_expiring", () => this.#extend(socket));
    socket.on("signed_out", ({ reason }) => reason in REASONS && end(REASONS[reason]));
    // What the server has refused or ended, the client does not try again by itself.
    socket.on("connect_error", () => socket.active || this.#rejoin(socket));
    socket.on("disconnect", (reason) => reason === "io server disconnect" && this.#rejoin(socket));
  }

  async #extend(socket) {
    try {
      this.#given = await renew(this.#given);
      await socket.emitWithAck("refresh_token", { token: this.#given });
    } catch {
      // Then the socket is ended with its token, and joins again.
    }
  }

  async #rejoin(socket) {
    while (!isOver) {
      if (this.#failures > 0) await wait(Math.min(FIRST_WAIT_MS * 2 ** this.#failures, LONGEST_WAIT_MS));
      this.#failures += 1;
      try {
        await renew(this.#given);
        socket.connect();
        return;
      } catch {
        // Another time, perhaps.
      }
    }
  }
}
