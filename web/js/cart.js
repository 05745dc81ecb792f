// The cart and the checkout: one page, because there is nothing to fill in but who you are.

import { ask, get } from "./api.js";
import { doorway } from "./account.js";
import { busy, h, say } from "./dom.js";
import { picture } from "./picture.js";
import { stepper } from "./shop.js";
import { state, toShop } from "./states.js";
import { explain, money } from "./words.js";
import { cartOrdered, lookAtCart, setQuantity, visitor } from "./visitor.js";

const LOOKS = 4;
const LOOK_AGAIN_MS = 500;

export async function cart({ place, signal, again }) {
  await lookAtCart();
  if (visitor.cart.lines.length === 0) {
    place.replaceChildren(h("h1", {}, "Your cart"), state("Your cart is empty", "What you add stays here for two weeks, also when you log in.", toShop()));
    return;
  }
  const checkout = h("section.sheet", { "aria-labelledby": "checkout" });
  place.replaceChildren(h("h1", {}, "Your cart"), h("div.two", {}, lines(signal), checkout));
  visitor.addEventListener("change", repaint, { signal });
  await fillCheckout(checkout, signal, again);

  function repaint() {
    if (!location.hash.startsWith("#/cart")) return; // ordered: the next page is on its way
    if (visitor.cart.lines.length === 0) again();
    else checkout.querySelector(".amount")?.replaceChildren(money(visitor.cart.total_cents));
  }
}

function lines(signal) {
  return h("ul", { "aria-label": "In the cart" }, visitor.cart.lines.map((one) => cartLine(one, signal)));
}

function cartLine(one, signal) {
  const wrong = h("p.wrong.small", { role: "alert" });
  const each = h("p.small.soft");
  const sum = h("span.sum.price");
  const remove = h("button.plain.small", { type: "button", "aria-label": `Remove ${one.name}`, onclick: () => busy(remove, drop) }, "Remove");
  const row = h("li.cart-line", {},
    picture(one.sku), h("div", {},
      h("h2", {}, one.name),
      each, remove, wrong),
    stepper(one, wrong), sum);
  const follow = () => {
    const now = visitor.cart.lines.find((other) => other.sku === one.sku);
    if (!now) return row.remove();
    sum.textContent = money(now.price_cents * now.quantity);
    each.textContent = now.on_sale ? `${money(now.price_cents)} each` : "Not sold at the moment: remove it to order the rest.";
  };
  follow();
  visitor.addEventListener("change", follow, { signal });
  async function drop() {
    try {
      await setQuantity(one.sku, 0);
      say(`${one.name} removed`);
    } catch (problem) {
      wrong.textContent = explain(problem);
    }
  }
  return row;
}

async function fillCheckout(sheet, signal, again) {
  const total = h("p.total", {}, "Total", h("span.price.amount", {}, money(visitor.cart.total_cents)));
  sheet.replaceChildren(h("h2", { id: "checkout" }, "Check out"), total);
  if (!visitor.who.logged_in) {
    sheet.append(h("p.soft", {}, "Log in or sign up to order. Your cart comes along."), doorway(again));
    return;
  }
  const wrong = h("p.wrong", { role: "alert" });
  const button = h("button.main", { type: "button", onclick: () => busy(button, () => placeOrder(wrong)) }, "Place the order");
  const balance = h("p.soft.small", { hidden: true });
  sheet.append(balance, wrong, button, h("p.small.soft", {}, "You can watch each step, and cancel at any time."));
  showBalance(balance, signal).catch(() => {}); // the order does not depend on it
}

/** The account of a new customer is opened a moment after signing up, so an empty one is looked at again. */
async function showBalance(place, signal) {
  for (let look = 0; look < LOOKS; look++) {
    const { available_cents } = await get("/api/accounts/me", signal);
    const enough = available_cents >= visitor.cart.total_cents;
    place.replaceChildren(`${money(available_cents)} of play money is on your account.`,
      ...(enough ? [] : [" That is too little for this order: ", h("a", { href: "#/account" }, "add some"), ", or watch how it is declined."]));
    place.hidden = available_cents === 0 && look < LOOKS - 1;
    if (!place.hidden) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

/** The cart's id and version name exactly these lines, so pressing twice, or after a lost answer, orders once. */
async function placeOrder(wrong) {
  const { cart_id, version, lines: wanted, total_cents } = visitor.cart;
  const body = {
    lines: wanted.map(({ sku, quantity }) => ({ sku, quantity })),
    cart_id, cart_version: version, expected_total_cents: total_cents,
  };
  try {
    const order = await ask("POST", "/api/orders", { body, headers: { "Idempotency-Key": `${cart_id}.${version}` } });
    location.hash = `#/orders/${order.order_id}`;
    cartOrdered();
  } catch (problem) {
    wrong.textContent = explain(problem);
    if (problem.status === 409) lookAtCart().catch(() => {});
  }
}
