// The states between "here it is" and nothing: loading, empty, denied, gone, failed.

import { UNREACHABLE } from "./api.js";
import { h } from "./dom.js";
import { explain } from "./words.js";

/** Grey shapes where the content is about to be. */
export function skeleton(count = 8) {
  const bones = Array.from({ length: count }, () => h("div.product.bone"));
  return h("div.shelf", { "aria-hidden": "true" }, bones);
}

/** A calm message with something to do next. */
export function state(title, text, ...actions) {
  return h("section.state", {}, h("h2", {}, title), text && h("p.soft", {}, text), actions.length ? h("div.row", {}, actions) : null);
}

export const toShop = () => h("a.button.main", { href: "#/" }, "To the shop");

/** Why a page could not be shown. `again` shows it anew; where waiting helps, that happens by itself. */
export function failure(problem, again) {
  const retry = h("button", { type: "button", onclick: again }, "Try again");
  if (problem.kind === UNREACHABLE) {
    return state("The shop does not answer", "You may be off line, or the shop is being restarted. This page comes back by itself.", retry);
  }
  if (problem.status === 404) return state("There is nothing here", "What you are looking for does not exist, or it is not yours.", toShop());
  if (problem.status === 403) return state("This is not yours to see", "Log in as somebody who may.", toShop());
  if (problem.status === 503 || problem.status === 429) {
    return state("Back in a moment", `${explain(problem)} This page tries again by itself.`, retry);
  }
  const quote = problem.requestId ? ` Request ${problem.requestId}.` : "";
  return state("Something went wrong", explain(problem) + quote, retry);
}
