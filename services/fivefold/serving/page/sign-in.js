// The key that a guarded server asks for: a card with one field, what is wrong with a key, and the way out again.

import * as api from "./api.js";
import { byId } from "./dom.js";

let again = null;

/** Whether a key is asked for right now. */
export const open = () => !byId("sign-in").hidden;

/** Ask for a key because of `error`, and do `then` with it; a key that was shown has been refused, which is told in place. */
export function ask(error, then) {
  again = then;
  const [input, wrong] = [byId("key"), byId("key-wrong")];
  const refused = api.shown();
  api.forget();
  wrong.textContent = refused ? [error.message, error.body?.help && `help: ${error.body.help}`].filter(Boolean).join(" ") : "";
  wrong.hidden = !refused;
  if (refused) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
  byId("sign-in").classList.toggle("bad", refused);
  byId("sign-in").hidden = false;
  byId("sign-out").hidden = true;
  input.focus();
  input.select();
}

/** The server has answered: a key that it was shown is kept, and can be given back. Gives whether one had been asked for. */
export function done() {
  if (api.shown()) api.keep();
  byId("sign-out").hidden = !api.shown();
  const asked = open();
  byId("sign-in").hidden = true;
  byId("key").value = "";
  return asked;
}

/** Listen to the card and to the button in the bar. */
export function start() {
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    api.show(byId("key").value.trim());
    again();
  });
  byId("sign-out").addEventListener("click", () => {
    api.forget();
    // Nothing of what the key has let in stays behind.
    location.reload();
  });
}
