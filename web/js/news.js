// Newsletters or none: the sheet on the account page, and the page that the link in a newsletter leads to.

import { ask, get } from "./api.js";
import { busy, h } from "./dom.js";
import { state, toShop } from "./states.js";
import { explain } from "./words.js";

/** The sheet on the account page. */
export function news() {
  const told = h("p.told", { role: "status" });
  const wrong = h("p.wrong", { role: "alert" });
  const box = h("input", { type: "checkbox", id: "newsletters", disabled: true });
  const wish = (promise) => promise.then(({ wanted }) => { box.checked = wanted; box.disabled = false; return wanted; });
  box.onchange = async () => {
    told.textContent = wrong.textContent = "";
    box.disabled = true;
    try {
      const wanted = await wish(ask("PUT", "/api/notifications/newsletters/mine", { body: { wanted: box.checked } }));
      told.textContent = wanted ? "You get our newsletters." : "You get no more newsletters.";
    } catch (problem) {
      box.checked = !box.checked;
      box.disabled = false;
      wrong.textContent = explain(problem);
    }
  };
  wish(get("/api/notifications/newsletters/mine")).catch((problem) => { wrong.textContent = explain(problem); });
  return h("section.sheet", {}, h("h2", {}, "E-mail"),
    h("label.row", { htmlFor: "newsletters" }, box, "Newsletters"),
    h("p.soft.small", {}, "Letters about your orders and your account come in any case."), told, wrong);
}

/** Nothing happens before the button: mail programs look at links, too. */
export function unsubscribe({ place, args: [token] }) {
  const wrong = h("p.wrong", { role: "alert" });
  const stop = async () => {
    wrong.textContent = "";
    try {
      await ask("POST", `/api/notifications/unsubscribe/${encodeURIComponent(token)}`);
      place.replaceChildren(state("No more newsletters", "You can have them again on your account page.", toShop()));
    } catch (problem) {
      wrong.textContent = problem.kind === "bad-link" ? "This link is not whole. Copy all of it, or change it on your account page." : explain(problem);
    }
  };
  const button = h("button.main", { type: "button", onclick: () => busy(button, stop) }, "Stop newsletters");
  place.replaceChildren(h("section.state", {}, h("h2", {}, "No more newsletters?"),
    h("p.soft", {}, "Letters about your orders and your account come in any case."), button, wrong));
}
