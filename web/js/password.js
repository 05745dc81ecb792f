// Choosing a new password, on the account page.

import { ask } from "./api.js";
import { busy, field, h } from "./dom.js";
import { explain } from "./words.js";

const LIMITS = { type: "password", required: true, minLength: 8, maxLength: 200 };
const FIELD_OF = { "wrong-password": "current", "weak-password": "fresh" };

/** The form. Password managers learn from `email` whose password they keep. */
export function password(email) {
  const fields = {
    current: field("Current password", { ...LIMITS, minLength: 0, name: "current", autocomplete: "current-password" }),
    fresh: field("New password", { ...LIMITS, name: "new", autocomplete: "new-password" }),
    again: field("New password again", { ...LIMITS, name: "again", autocomplete: "new-password" }),
  };
  const told = h("p.told", { role: "status" });
  const wrong = h("p.wrong", { role: "alert" });
  const button = h("button", { type: "submit" }, "Change the password");
  const whose = h("input", { type: "text", name: "username", autocomplete: "username", value: email, readOnly: true, hidden: true });
  const onsubmit = (event) => {
    event.preventDefault();
    busy(button, submit);
  };
  const refuse = (one, text) => { one.say(text); one.input.focus(); };

  async function submit() {
    told.textContent = wrong.textContent = "";
    Object.values(fields).forEach((one) => one.say(""));
    const { current, fresh, again } = fields;
    if (fresh.input.value !== again.input.value) return refuse(again, "This is not what you typed above.");
    try {
      await ask("POST", "/api/account/password", { body: { current_password: current.input.value, new_password: fresh.input.value } });
    } catch (problem) {
      const at = fields[FIELD_OF[problem.kind]];
      if (at) return refuse(at, explain(problem));
      return void (wrong.textContent = explain(problem));
    }
    form.reset();
    told.textContent = "Your password is changed, and your other devices are logged out. We write to you about it.";
  }

  const form = h("form.stack", { onsubmit, "aria-label": "Change the password" }, whose, Object.values(fields), h("div.row", {}, button), told, wrong);
  return h("section.sheet", {}, h("h2", {}, "Password"), form);
}
