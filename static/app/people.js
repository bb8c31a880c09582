// Who is who. Where users have accounts, people know each other by name, and the server by id; where
// sign-in is open, an id is all there is.
import { usersAfter } from "./api.js";

const PAGE = 200; // users that the server lists at once, at the most
const MAX_PAGES = 20; // that are looked through at once: a server limits how much it is asked

const NAME = /^[a-z0-9_-]{2,32}$/;

const names = new Map(); // by id
const ids = new Map(); // by name in lower case: names are the same in any case
const strangers = new Set(); // ids that the list does not have
const wanted = new Set(); // ids to look for
let changed = null; // what is called when names have become known; null where sign-in is open
let search = null; // the one under way

// From now on people have names.
export function haveNames(whenKnown) {
  changed = whenKnown;
}

export function know({ user_id, username }) {
  names.set(user_id, username);
  ids.set(username.toLowerCase(), user_id);
}

// Learns who comes after a name in the list, until one is there that `isEnough`.
async function learn(name, isEnough) {
  for (let page = 0, after = name; page < MAX_PAGES; page += 1) {
    const { users } = await usersAfter(after, PAGE);
    users.forEach(know);
    if (users.length < PAGE || isEnough()) return;
    after = users.at(-1).username;
  }
}

async function findWanted() {
  const sought = [...wanted];
  wanted.clear();
  const known = () => sought.every((id) => names.has(id));
  if (!known()) await learn(null, known);
  for (const id of sought) if (!names.has(id)) strangers.add(id);
  changed();
  // Who has been asked for meanwhile may stand on a page that was read before.
  if (wanted.size > 0) await findWanted();
}

// The name of a user, or, until it is known, the id.
export function nameOf(id) {
  const name = names.get(id);
  if (changed && name === undefined && !strangers.has(id)) {
    wanted.add(id);
    search ??= findWanted()
      // Who is shown again is looked for again.
      .catch(() => wanted.clear())
      .finally(() => (search = null));
  }
  return name ?? id;
}

// Resolves once all names that were asked for are known, or can't be.
export const settled = () => Promise.resolve(search);

// The id of a user whom somebody has named.
export async function idOf(name) {
  if (!changed) return name;
  const key = name.toLowerCase();
  // The list is read from a place close before the name: the name without its last character.
  const before = key.length > 2 ? key.slice(0, -1) : null;
  if (NAME.test(key) && !ids.has(key)) await learn(before, () => ids.has(key));
  if (ids.has(key)) return ids.get(key);
  throw new Error(`There is no user named ${name}`);
}
