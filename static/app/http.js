// HTTP requests to the server.

// The text of an error answer: `{detail: "..."}` or `{detail: [{loc, msg}]}`.
function reason(body, status) {
  if (Array.isArray(body?.detail)) return body.detail.map(({ msg }) => msg).join(", ");
  return body?.detail ?? `The server answered ${status}`;
}

// Resolves with the answer's JSON. An answer that is an error rejects, with its `status`; without
// an answer there is none.
export async function call(method, path, { query, json, body, token } = {}) {
  const url = new URL(path, location.origin);
  url.search = new URLSearchParams(query);
  const headers = json ? { "content-type": "application/json" } : {};
  if (token) headers.authorization = `Bearer ${token}`;
  const response = await fetch(url, { method, headers, body: json ? JSON.stringify(json) : body });
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  throw Object.assign(new Error(reason(answer, response.status)), { status: response.status });
}
