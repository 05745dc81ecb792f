// The line of an order: built once, then repainted from a fold. The shapes are CSS (timeline.css); states are data attributes.

import { h } from "./dom.js";
import { STATIONS, WAITING, wayBack } from "./saga.js";
import { span } from "./words.js";

const SAYS = {
  idle: "not yet", asked: "under way", owed: "under way", recalled: "to be undone", done: "done",
  refused: "refused", undoing: "being undone", undone: "undone",
};

/** {element, paint(order)}: an ordered list of stations. */
export function timeline() {
  const stations = STATIONS.map(station);
  const element = h("ol.track", { "aria-label": "The way of the order" }, stations.map((one) => one.element));
  return {
    element,
    paint(order) {
      const back = wayBack(order);
      element.dataset.back = String(back.turned >= 0);
      stations.forEach((one, i) => one.paint(order, back, i));
    },
  };
}

function station({ key, name, service, place, pivot, branch }) {
  const status = h("span.status");
  const time = h("span.time.number");
  const tries = h("span.tries");
  const element = h("li.station", { "data-kind": pivot ? "pivot" : branch ? "branch" : place ? "place" : "step", "data-key": key },
    h("span.rail"), h("span.return"), h("span.turn"), h("span.dot"), h("span.back-dot"),
    h("span.name", {}, name), h("span.service", {}, service), status, time, tries);
  let shown = "";
  function paint(order, back, i) {
    const stop = order.stops[key];
    const next = STATIONS[i + 1] && order.stops[STATIONS[i + 1].key];
    element.dataset.status = stop.status;
    element.dataset.rail = !next || next.status === "idle" ? "ahead" : "run";
    element.dataset.return = String(i >= back.reached && i < back.turned);
    element.dataset.turn = String(i === back.turned);
    element.dataset.home = String(i === back.reached && i < back.turned && stop.status === "done");
    status.textContent = word(stop, order, key);
    time.textContent = times(stop, order.placed_ms, key);
    const now = JSON.stringify(stop.tries);
    if (now !== shown) tries.replaceChildren(...ticks(stop, name));
    shown = now;
  }
  return { element, paint };
}

function word(stop, order, key) {
  if (key === "carrier" && stop.status === "idle") return order.status === "completed" ? "comes soon" : "later";
  const attempt = stop.tries.filter((one) => Boolean(one.back) === (stop.status === "undoing")).length;
  return WAITING.has(stop.status) && attempt > 1 ? `${SAYS[stop.status]}, attempt ${attempt}` : SAYS[stop.status];
}

/** "+120 ms, took 40 ms": when the first answer came after placing, and how long it took. */
function times(stop, placed_ms, key) {
  const first = stop.tries[0];
  const there = stop.tries.findLast((one) => !one.back);
  if (key === "placed" || there?.until_ms === undefined) return "";
  const took = there.until_ms - first.from_ms;
  return `+${span(there.until_ms - placed_ms)}${stop.tries.length && first !== there || took > 0 ? `, took ${span(took)}` : ""}`;
}

/** A tick for each attempt; a failed one is crossed and can be asked why. */
function ticks(stop, name) {
  if (!stop.tries.some((one) => one.failed) && stop.tries.length < 2) return [];
  return stop.tries.map((one, i) => {
    const what = `${name}, ${one.back ? "undo" : "attempt"} ${i + 1}`;
    if (!one.failed) return h("span.tick", { "data-back": String(Boolean(one.back)), role: "img", "aria-label": `${what}: ${one.until_ms === undefined ? "under way" : "answered"}` });
    return h("button.tick", { type: "button", "data-failed": "true", "data-why": one.note, "aria-label": `${what} failed: ${one.note}` });
  });
}
