// One order: its line, live; its history, which can be gone back through; and the way out.

import { ask, get } from "./api.js";
import { busy, h, say } from "./dom.js";
import { picture } from "./picture.js";
import { follow } from "./live.js";
import { fold, isOver } from "./saga.js";
import { headline, sentences } from "./story.js";
import { timeline } from "./timeline.js";
import { explain, money, shortId, span, STATUS, when } from "./words.js";

export async function order({ place, signal, args: [id], again }) {
  const path = `/api/orders/${encodeURIComponent(id)}`;
  const history = await get(`${path}/timeline`, signal);
  const seen = await get(path, signal); // afterwards, so that it knows the parcel's number when the history names the parcel
  const events = history.entries.map((entry) => ({ ...entry, type: entry.event, tracking: entry.event === "OrderShipped" ? seen.tracking : "" }));
  const view = build(seen, id);
  const scrub = scrubber(paint);
  place.replaceChildren(...view.head, h("section.sheet.hero", { "aria-label": "Live timeline" }, view.said, view.line.element, scrub.element), view.below);

  function current() {
    return { ...fold(events), lines: seen.lines, total_cents: seen.total_cents };
  }
  function paint() {
    const shown = events.slice(0, scrub.at(events.length));
    view.paint({ ...current(), ...fold(shown) }, shown, current());
  }
  view.cancel.onclick = () => confirmCancel(path, view, current(), () => isOver(current()) && again());
  scrub.grow(events);
  paint();
  if (isOver(current())) return;
  follow(id, {
    after: events.at(-1)?.sequence ?? 0,
    signal,
    onEvent(event) {
      events.push(event);
      scrub.grow(events);
      paint();
      say(headline(current()));
      return !isOver(current());
    },
    onLine: view.online,
    onRefused: () => get(path, signal).catch((problem) => {
      if (problem.status >= 400 && problem.status < 500 && problem.status !== 429) again(); // logged out: the page says so
    }),
  });
}

function build(seen, id) {
  const chip = h("span.chip");
  const live = h("span.live.small", { hidden: true });
  const said = h("p.said");
  const cancel = h("button", { type: "button" }, "Cancel the order");
  const wrong = h("p.wrong", { role: "alert" });
  const story = h("ol.story");
  const line = timeline();
  const head = [
    h("div.head", {}, h("h1", {}, "Order ", h("code", { title: id }, shortId(id))), h("div.row", {}, live, chip)),
  ];
  const below = h("div.two", {},
    h("section.sheet", {}, h("h2", {}, "What happened"), story),
    h("section.sheet", {}, h("h2", {}, "What you ordered"), h("ul", {}, seen.lines.map(orderLine)),
      h("p.total", {}, "Total", h("span.price", {}, money(seen.total_cents))), cancel, wrong));
  return { head, said, line, below, cancel, wrong, paint, online };

  function paint(order, events, now) {
    const [label, tone] = STATUS[now.status] ?? ["Waiting", ""];
    chip.textContent = label;
    chip.dataset.tone = tone;
    said.textContent = headline(order);
    line.paint(order);
    story.replaceChildren(...events.flatMap((event) => sentences(order, event)).map((one) => happened(one, order.placed_ms)));
    cancel.hidden = !now.cancellable;
    cancel.textContent = now.status === "completed" ? "Cancel and get the money back" : "Cancel the order";
  }
  function online(state) {
    live.hidden = state === "over";
    live.dataset.on = String(state === "open");
    live.textContent = state === "open" ? "live" : "connecting again";
  }
}

function orderLine(one) {
  return h("li.cart-line.ordered", {}, picture(one.sku), h("span", {}, `${one.quantity} × ${one.name || one.sku}`),
    h("span.sum.price", {}, money(one.price_cents * one.quantity)));
}

function happened({ at_ms, words, type, tone }, placed_ms) {
  return h("li", { "data-tone": tone }, h("span.number.soft.small", { title: when(at_ms) }, `+${span(at_ms - placed_ms)}`),
    h("span", {}, words, " ", h("code.soft.small", {}, type)));
}

/** A slider through the order's events; at its right end it follows what is new. */
function scrubber(onMove) {
  const input = h("input", { type: "range", min: 1, max: 1, value: 1, step: 1, id: "moment" });
  const label = h("label.small", { htmlFor: "moment" }, "");
  const now = h("button.plain.small", { type: "button", hidden: true }, "Back to now");
  const element = h("div.scrub", {}, label, input, now);
  const following = () => input.value === input.max;
  function moved() {
    now.hidden = following();
    label.textContent = following() ? `All ${input.max} events; drag to go back` : `After event ${input.value} of ${input.max}`;
    input.setAttribute("aria-valuetext", label.textContent);
  }
  input.oninput = () => { moved(); onMove(); };
  now.onclick = () => { input.value = input.max; input.oninput(); input.focus(); };
  return {
    element,
    at: (length) => (following() ? length : Number(input.value)),
    grow({ length }) {
      const follows = following();
      input.max = String(Math.max(1, length));
      if (follows) input.value = input.max;
      element.hidden = length < 2;
      moved();
    },
  };
}

function confirmCancel(path, { cancel, wrong }, order, then) {
  const no = h("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Keep the order");
  const yes = h("button.main", { type: "button" }, "Cancel it");
  const what = order.status === "placed" ? "What was done so far is undone, and nothing is charged." : "You get your money back. A parcel that has left is yours to keep.";
  const dialog = h("dialog", { "aria-labelledby": "sure", onclose: () => dialog.remove() },
    h("form", { method: "dialog" }, h("h2", { id: "sure" }, "Cancel this order?"), h("p", {}, what), h("div.row", {}, yes, no)));
  yes.onclick = () => busy(cancel, async () => {
    dialog.close();
    wrong.textContent = "";
    try {
      await ask("POST", `${path}/cancellation`, { body: {} });
      then();
    } catch (problem) {
      wrong.textContent = explain(problem);
    }
  });
  document.body.append(dialog);
  dialog.showModal();
}
