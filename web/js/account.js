// Logging in, signing up, and the account of who has.

import { ask, get } from "./api.js";
import { busy, field, h, say } from "./dom.js";
import { news } from "./news.js";
import { password } from "./password.js";
import { explain, money } from "./words.js";
import { logIn, logOut, signUp, visitor } from "./visitor.js";

const DEPOSIT_CENTS = 100_00;
const FIELD_OF = { "bad-name": "name", "bad-email": "email", "email-taken": "email", "weak-password": "password" };

/** Two doors side by side: log in, or sign up. `then` is called when somebody came in. */
export function doorway(then) {
  const email = () => field("E-mail", { type: "email", name: "email", autocomplete: "username", required: true, maxLength: 254 });
  const secret = (autocomplete) => field("Password", { type: "password", name: "password", autocomplete, required: true, minLength: 8, maxLength: 200 });
  return h("div.doors", {},
    form("Log in", { email: email(), password: secret("current-password") }, ({ email, password }) => logIn(email, password), then),
    form("Sign up", {
      name: field("Your name", { name: "name", autocomplete: "name", required: true, maxLength: 100 }),
      email: email(),
      password: secret("new-password"),
    }, ({ name, email, password }) => signUp(name, email, password), then));
}

function form(title, fields, enter, then) {
  const wrong = h("p.wrong", { role: "alert" });
  const button = h("button.main", { type: "submit" }, title);
  const onsubmit = (event) => {
    event.preventDefault();
    busy(button, submit);
  };
  async function submit() {
    wrong.textContent = "";
    Object.values(fields).forEach((one) => one.say(""));
    try {
      await enter(Object.fromEntries(Object.entries(fields).map(([name, one]) => [name, one.input.value])));
    } catch (problem) {
      const at = fields[FIELD_OF[problem.kind]];
      if (!at) return void (wrong.textContent = explain(problem));
      at.say(explain(problem));
      return at.input.focus();
    }
    say(`Welcome, ${visitor.who.name}`);
    then();
  }
  return h("form", { onsubmit, "aria-label": title }, h("h3", {}, title === "Sign up" ? "New here? Sign up" : title), Object.values(fields), wrong, button);
}

export async function account({ place, signal, again }) {
  if (!visitor.who.logged_in) {
    place.replaceChildren(h("h1", {}, "Log in or sign up"), h("section.sheet", {}, doorway(again)));
    return;
  }
  const purse = h("section.sheet", {}, h("h2", {}, "Play money"));
  const sheets = h("div.two.even", {}, h("div.page", {}, purse, leave(again)));
  place.replaceChildren(h("h1", {}, visitor.who.name), sheets);
  if (visitor.who.role === "customer") {
    const { email } = await get("/api/customers/me", signal);
    purse.after(news());
    sheets.append(password(email));
  }
  await fillPurse(purse, signal);
}

async function fillPurse(sheet, signal) {
  const balance = await get("/api/accounts/me", signal);
  const told = h("p.told", { role: "status" });
  const wrong = h("p.wrong", { role: "alert" });
  const available = h("p.total", {}, "Available", h("span.price", {}, money(balance.available_cents)));
  const held = h("p.row.spread.soft", {}, "Held for orders under way", h("span.price", {}, money(balance.held_cents)));
  const button = h("button", { type: "button", onclick: () => busy(button, deposit) }, `Add ${money(DEPOSIT_CENTS)}`);
  sheet.append(available, held, button, told, wrong);
  async function deposit() {
    told.textContent = wrong.textContent = "";
    try {
      await ask("POST", "/api/accounts/me/deposits", { body: { amount_cents: DEPOSIT_CENTS } });
      const now = await get("/api/accounts/me");
      available.lastChild.textContent = money(now.available_cents);
      told.textContent = `${money(DEPOSIT_CENTS)} came in.`;
    } catch (problem) {
      wrong.textContent = explain(problem);
    }
  }
}

function leave(again) {
  const wrong = h("p.wrong", { role: "alert" });
  const out = (label, everywhere) => {
    const go = () => logOut(everywhere).then(again, (problem) => { wrong.textContent = explain(problem); });
    const button = h("button", { type: "button", onclick: () => busy(button, go) }, label);
    return button;
  };
  return h("section.sheet", {}, h("h2", {}, "Leave"),
    h("p.soft", {}, "Your cart and your orders are kept."),
    h("div.row", {}, out("Log out", false), out("Log out everywhere", true)), wrong);
}
