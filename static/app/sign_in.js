// Who uses the page: a user id that is believed, or an account and its password. Which of them, the
// server says.
import * as api from "./api.js";
import { complain, onSubmit } from "./forms.js";
import * as session from "./session.js";
import { find } from "./view.js";

const RETRY_MS = 2000; // before a server that has not answered is asked again

const ACCOUNT_FORMS = ["log-in", "register"];

// What is asked for by id where sign-in is open, and by name where users have accounts.
const BY_NAME = [
  ["direct-id", "Chat with", "Username"],
  ["group-members", "Usernames, with commas", "Members"],
  ["member-id", "Add username", "Username to add"],
];

const value = (id) => find(id).value;

async function authMode() {
  for (;;) {
    try {
      return (await api.health()).auth_mode;
    } catch (error) {
      complain(error);
      await new Promise((done) => setTimeout(done, RETRY_MS));
    }
  }
}

function show(id) {
  for (const form of document.querySelectorAll(".card")) form.hidden = form.id !== id;
  find(id)?.querySelector("input").focus();
}

const showAccountForm = () => show(location.hash === "#register" ? "register" : "log-in");

function say(text) {
  for (const id of ACCOUNT_FORMS) find(id).querySelector(".fault").textContent = text;
}

function switchForm() {
  say("");
  showAccountForm();
}

// Resolves with the account that signs in or is registered.
function byPassword() {
  return new Promise((done) => {
    const enter = (route, json) => async () => {
      say("");
      done(await session.enter(route, json()));
    };
    const fail = (error) => say(error.message);
    const account = () => ({
      username_or_email: value("log-in-name").trim(),
      password: value("log-in-password"),
    });
    const newAccount = () => ({
      username: value("register-name").trim(),
      email: value("register-email").trim(),
      password: value("register-password"),
    });
    onSubmit("log-in", enter("login", account), fail);
    onSubmit("register", enter("register", newAccount), fail);
    addEventListener("hashchange", switchForm);
    showAccountForm();
  });
}

async function byAccount() {
  for (const [id, placeholder, ariaLabel] of BY_NAME) Object.assign(find(id), { placeholder, ariaLabel });
  say(session.farewell() ?? "");
  // Where that fails for now, the page may be loaded again, or the password given.
  const left = session.isLeft() && (await session.resume().catch((error) => say(error.message)));
  const account = left || (await byPassword());
  removeEventListener("hashchange", switchForm);
  history.replaceState(null, "", location.pathname);
  for (const id of ACCOUNT_FORMS) find(id).reset();
  return { ...account, hasName: true };
}

function byUserId() {
  return new Promise((done) => {
    onSubmit("sign-in", () => {
      const user_id = value("user-id").trim();
      done({ user_id, username: user_id, hasName: false });
    });
    show("sign-in");
  });
}

// Resolves with who has signed in: {user_id, username, hasName}.
export async function whoSignsIn() {
  const who = await ((await authMode()) === "jwt" ? byAccount() : byUserId());
  show(null);
  return who;
}
