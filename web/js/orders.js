// The customer's orders, newest first.

import { get, withQuery } from "./api.js";
import { busy, h } from "./dom.js";
import { state, toShop } from "./states.js";
import { count, money, shortId, STATUS, when } from "./words.js";

const PAGE = 20;

export async function orders({ place, signal }) {
  const page = await get(withQuery("/api/orders", { limit: PAGE }), signal);
  const title = h("h1", {}, "Your orders");
  if (page.items.length === 0) {
    place.replaceChildren(title, state("No orders yet", "When you order something, you can watch it here, step by step.", toShop()));
    return;
  }
  const list = h("ul.orders", {}, page.items.map(row));
  place.replaceChildren(title, list, ...moreButton(list, page.next_cursor, signal));
}

function moreButton(list, cursor, signal) {
  if (!cursor) return [];
  const button = h("button", { type: "button", onclick: () => busy(button, more) }, "Show older ones");
  async function more() {
    const page = await get(withQuery("/api/orders", { limit: PAGE, cursor }), signal);
    list.append(...page.items.map(row));
    cursor = page.next_cursor;
    if (!cursor) button.parentElement.remove();
  }
  return [h("p", {}, button)];
}

function row(order) {
  const [label, tone] = STATUS[order.status] ?? [order.status, ""];
  return h("li", {}, h("a", { href: `#/orders/${order.order_id}` },
    h("span", {}, "Order ", h("code.code", {}, shortId(order.order_id))),
    h("span.small.soft", {}, `${when(order.placed_ms)}, ${count(order.line_count, "product")}`),
    h("span.chip", { "data-tone": tone }, label),
    h("span.price", {}, money(order.total_cents))));
}
