// Accounts and tokens, for the suites of servers that ask for them.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { fresh, http, need } from "./support.mjs";

export const PASSWORD = "correct horse battery";

export const person = (name) => {
  const username = fresh(name);
  return { username, email: `${username}@example.com`, password: PASSWORD };
};

export const bearer = (token) => ({ authorization: `Bearer ${token}` });

// A new account and its first tokens, as the server answers.
export async function register(name) {
  const answer = await http("POST", "/api/auth/register", { json: person(name) });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body;
}

// A token for a user that an application with the server's secret makes, good for some seconds.
export function mint(userId, seconds) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Date.now() / 1000;
  const claims = { sub: userId, iss: "banter", aud: "banter", iat: now, exp: now + seconds };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", need("SECRET_KEY")).update(signed).digest("base64url")}`;
}
