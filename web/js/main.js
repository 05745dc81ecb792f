// Which page is shown. Addresses live behind the "#", so nginx serves one file and "back" works.

import { line, ask } from "./api.js";
import { h, say } from "./dom.js";
import { account, doorway } from "./account.js";
import { cart } from "./cart.js";
import { unsubscribe } from "./news.js";
import { order } from "./order.js";
import { orders } from "./orders.js";
import { shop } from "./shop.js";
import { failure, skeleton, state, toShop } from "./states.js";
import { look, tellSeen, visitor } from "./visitor.js";

const PAGES = [
  [/^\/?$/, "shop", shop],
  [/^\/cart$/, "cart", cart],
  [/^\/orders$/, "orders", orders],
  [/^\/orders\/([\w-]+)$/, "orders", order],
  [/^\/account$/, "account", account],
  [/^\/unsubscribe\/([\w.-]+)$/, "", unsubscribe],
];
const ASK_AGAIN_MS = 3000;
const SLOW_MS = 3000;

const main = document.getElementById("main");
let leaving = new AbortController();
let known = null;

/** Show the page of the address. A page fills its own element, so one that was left behind disturbs nobody. */
async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const [pattern, name, page] = PAGES.find(([known]) => known.test(path)) ?? [null, "", nowhere];
  markCurrent(name);
  const place = h("div.page", {}, skeleton());
  main.replaceChildren(place);
  const slow = setTimeout(() => place.prepend(h("p.soft", { role: "status" }, "This takes longer than usual. We are still trying.")), SLOW_MS);
  try {
    known ??= look().catch((problem) => { known = null; throw problem; });
    await known;
    tellSeen(path.replace(/^(\/unsubscribe)\/.*/, "$1") || "/");  // nobody else gets the link
    await page({ place, signal, args: pattern?.exec(path).slice(1) ?? [], query: new URLSearchParams(query), again: show });
  } catch (problem) {
    if (!signal.aborted) stumble(place, problem, signal);
  } finally {
    clearTimeout(slow);
  }
  if (!signal.aborted) arrived(place);
}

function stumble(place, problem, signal) {
  if (problem.status === undefined) console.error(problem);
  if (problem.kind === "not-logged-in") {
    place.replaceChildren(h("h1", {}, "Log in first"), h("section.sheet", {}, h("p.soft", {}, "Then you can see this page."), doorway(show)));
    return;
  }
  place.replaceChildren(failure(problem, show));
  if (problem.status === 503 || problem.status === 429) {
    const timer = setTimeout(show, (problem.retryAfterS ?? 3) * 1000);
    signal.addEventListener("abort", () => clearTimeout(timer));
  }
}

function nowhere({ place }) {
  place.replaceChildren(state("There is no such page", "The address may be mistyped.", toShop()));
}

let first = true;
function arrived(place) {
  const title = place.querySelector("h1, h2");
  document.title = title ? `${title.textContent} · Sagashop` : "Sagashop";
  if (!first && title && !place.contains(document.activeElement)) {
    title.tabIndex = -1;
    title.focus({ preventScroll: true });
  }
  first = false;
}

function markCurrent(name) {
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

visitor.addEventListener("change", () => {
  const count = visitor.cart.lines.reduce((sum, one) => sum + one.quantity, 0);
  const badge = document.getElementById("cart-count");
  badge.hidden = count === 0;
  badge.textContent = count;
  document.getElementById("account-link").textContent = visitor.who.logged_in ? visitor.who.name : "Log in";
});

line.addEventListener("lost", () => {
  const banner = document.getElementById("offline");
  banner.textContent = "The shop does not answer. We keep trying; your cart and your orders are safe.";
  banner.hidden = false;
  const timer = setInterval(() => ask("GET", "/health").catch(() => {}), ASK_AGAIN_MS);
  line.addEventListener("back", () => clearInterval(timer), { once: true });
});
line.addEventListener("back", () => {
  document.getElementById("offline").hidden = true;
  say("The shop answers again.");
  if (main.querySelector(".state")) show();
});
window.addEventListener("offline", () => ask("GET", "/health").catch(() => {}));

window.addEventListener("hashchange", () => {
  window.scrollTo(0, 0);
  show();
});

show();
