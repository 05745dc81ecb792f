// Who is here and what is in the cart. Pages read `visitor`, change it through these functions, and listen for "change".

import { ask, get } from "./api.js";

const EMPTY = { cart_id: null, version: 0, lines: [], total_cents: 0 };

export const visitor = Object.assign(new EventTarget(), { who: { logged_in: false }, cart: EMPTY });

/** The pieces of a product that are in the cart. */
export const inCart = (sku) => visitor.cart.lines.find((one) => one.sku === sku)?.quantity ?? 0;

export async function look() {
  const [who, cart] = await Promise.all([get("/api/session"), get("/api/cart")]);
  become({ who, cart });
}

export async function lookAtCart() {
  become({ cart: await get("/api/cart") });
}

export async function setQuantity(sku, quantity) {
  become({ cart: await ask("PUT", `/api/cart/lines/${encodeURIComponent(sku)}`, { body: { quantity } }) });
}

/** The cart became an order; the shop empties it a moment later by itself. */
export const cartOrdered = () => become({ cart: { ...EMPTY, cart_id: visitor.cart.cart_id } });

export async function signUp(name, email, password) {
  await ask("POST", "/api/customers", { body: { name, email, password } });
  await look();
}

export async function logIn(email, password) {
  await ask("POST", "/api/session", { body: { email, password } });
  await look();
}

export async function logOut(everywhere) {
  await ask("DELETE", everywhere ? "/api/session/everywhere" : "/api/session");
  await look();
}

/** Tell the shop which page is looked at. It may get lost: nobody waits for it. */
export function tellSeen(page) {
  ask("POST", "/api/activity", { body: { kind: "page_view", tags: { page } } }).catch(() => {});
}

function become(changes) {
  Object.assign(visitor, changes);
  visitor.dispatchEvent(new Event("change"));
}
