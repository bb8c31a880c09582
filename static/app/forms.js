// What is asked of the server by hand, and what becomes of it when it fails.
import { find, toast } from "./view.js";

export const complain = (error) => toast(error.message, "bad");

// Runs what may fail, and says so when it does.
export const attempt = (work) => Promise.resolve().then(work).catch(complain);

// Does a form's work on each submit. While it is under way the form can't be submitted again.
export function onSubmit(id, work, fail = complain) {
  const form = find(id);
  const button = form.querySelector("button");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await work(form);
    } catch (error) {
      fail(error);
    } finally {
      button.disabled = false;
    }
  });
}
