// The shelves: search, categories, products by page, and the stepper that fills the cart.

import { get, withQuery } from "./api.js";
import { busy, field, h, say } from "./dom.js";
import { picture } from "./picture.js";
import { skeleton, state } from "./states.js";
import { explain, money } from "./words.js";
import { inCart, setQuantity, visitor } from "./visitor.js";

const PAGE = 24;
const TYPING_MS = 250;

export async function shop({ place, signal, query }) {
  const wanted = { search: query.get("search") ?? "", category: query.get("category") ?? "" };
  const shelf = h("div", { "aria-live": "off" });
  let latest = 0;
  let here = location.hash;
  const finder = h("div.finder", { role: "search" });
  place.replaceChildren(h("h1", {}, "Things for every day"), finder, shelf);

  const { items: categories } = await get("/api/products/categories", signal);
  finder.append(searchField(wanted, refresh), categoryButtons(wanted, categories, refresh));
  await fill();

  function refresh() {
    if (signal.aborted || location.hash !== here) return; // typed, and gone to another page before it counted
    history.replaceState(null, "", withQuery("#/", wanted));
    here = location.hash;
    fill().catch((problem) => {
      if (!signal.aborted) shelf.replaceChildren(h("p.wrong", { role: "alert" }, explain(problem)));
    });
  }

  async function fill() {
    const mine = ++latest; // the answers of an older search may come later
    shelf.replaceChildren(skeleton());
    const page = await productPage(wanted, null, signal);
    if (mine !== latest) return;
    const grid = h("ul.shelf", {}, page.items.map((product) => card(product, signal)));
    say(page.items.length ? `${page.items.length}${page.next_cursor ? " or more" : ""} products` : "No products found");
    shelf.replaceChildren(page.items.length ? grid : nothing(wanted), ...moreButton(grid, page.next_cursor));
  }

  function moreButton(grid, cursor) {
    if (!cursor) return [];
    const button = h("button", { type: "button", onclick: () => busy(button, more) }, "Show more");
    const row = h("p.more", {}, button);
    async function more() {
      const page = await productPage(wanted, cursor, signal);
      const cards = page.items.map((product) => card(product, signal));
      grid.append(...cards);
      cursor = page.next_cursor;
      if (!cursor) row.remove();
      cards[0]?.querySelector("button")?.focus();
    }
    return [row];
  }
}

const productPage = (wanted, cursor, signal) => get(withQuery("/api/products", { ...wanted, limit: PAGE, cursor }), signal);

function searchField(wanted, refresh) {
  let timer;
  const search = field("Search", { type: "search", value: wanted.search, placeholder: "mug, lamp, notebook…", maxLength: 100, autocomplete: "off" });
  search.input.oninput = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      wanted.search = search.input.value.trim();
      refresh();
    }, TYPING_MS);
  };
  return search;
}

function categoryButtons(wanted, categories, refresh) {
  const all = [{ name: "" }, ...categories].map(({ name }) => {
    const choose = () => {
      wanted.category = name;
      all.forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
      refresh();
    };
    const button = h("button", { type: "button", onclick: choose, "aria-pressed": String(name === wanted.category) }, name || "Everything");
    return button;
  });
  return h("div.kinds", { role: "group", "aria-label": "Category" }, all);
}

function nothing({ search, category }) {
  const where = category ? ` among ${category}` : "";
  return state("Nothing found", `No product matches${search ? ` “${search}”` : ""}${where}.`, h("a.button", { href: "#/?all" }, "Show everything"));
}

function card(product, signal) {
  const buy = h("div");
  const wrong = h("p.wrong.small", { role: "alert" });
  const paint = () => buy.replaceChildren(inCart(product.sku) ? stepper(product, wrong) : adder(product, wrong));
  paint();
  visitor.addEventListener("change", () => { if (Boolean(buy.querySelector(".stepper")) !== inCart(product.sku) > 0) paint(); }, { signal });
  return h("li.product", {},
    picture(product.sku, product.category),
    h("h2.name", {}, product.name),
    h("p.small.soft", {}, product.description),
    h("div.row", {}, h("span.price", {}, money(product.price_cents)), buy),
    wrong);
}

function adder(product, wrong) {
  const add = async () => {
    if (!(await change(product, 1, wrong))) return;
    document.querySelector(`[data-plus="${CSS.escape(product.sku)}"]`)?.focus();
  };
  const button = h("button", { type: "button", "aria-label": `Add ${product.name} to the cart`, onclick: () => busy(button, add) }, "Add to cart");
  return button;
}

/** − n +, for a product or a cart line; it keeps itself up to date. */
export function stepper(product, wrong) {
  const count = h("output", { "aria-label": `${product.name} in the cart` }, String(inCart(product.sku)));
  const step = (by) => async () => {
    if (await change(product, inCart(product.sku) + by, wrong)) count.textContent = inCart(product.sku);
  };
  const less = h("button", { type: "button", "aria-label": `One ${product.name} less`, onclick: () => busy(less, step(-1)) }, "−");
  const plus = h("button", { type: "button", "aria-label": `One ${product.name} more`, "data-plus": product.sku, onclick: () => busy(plus, step(1)) }, "+");
  return h("div.stepper", {}, less, count, plus);
}

async function change(product, quantity, wrong) {
  try {
    await setQuantity(product.sku, quantity);
    wrong.textContent = "";
    say(quantity ? `${product.name}: ${quantity} in the cart` : `${product.name} removed from the cart`);
    return true;
  } catch (problem) {
    wrong.textContent = explain(problem);
    return false;
  }
}
