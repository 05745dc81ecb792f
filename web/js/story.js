// What happened, in the customer's words: one sentence for each thing an event says.

import { STATIONS } from "./saga.js";
import { count, money } from "./words.js";

const MESSAGES = Object.fromEntries(STATIONS.map(({ key, says }) => [key, says]));

const STEPS = {
  stock: {
    asked: () => "We ask the warehouse to put your things aside.",
    done: (o) => `We put ${things(o)} aside for you.`,
    refused: (o, note) => `The warehouse could not put everything aside${because(note)}.`,
    undoing: () => "We ask the warehouse to put your things back.",
    undone: () => "Your things are back on the shelf.",
  },
  payment: {
    asked: (o) => `We ask to hold ${money(o.total_cents)} on your account.`,
    done: (o) => `${money(o.total_cents)} is held on your account.`,
    refused: (o, note) => `The payment was declined${because(note)}. Nothing was charged.`,
    undoing: () => "We ask to let go of the money that was held.",
    undone: () => "Nothing is held on your account any more.",
  },
  capture: {
    owed: () => "We take the money that was held.",
    recalled: () => "We wait for the payment, to give it back.",
    done: (o) => `${money(o.total_cents)} is paid.`,
    undoing: () => "We ask for your money to be given back.",
    undone: (o) => `${money(o.total_cents)} is back on your account.`,
  },
  shipment: {
    owed: () => "We ask for your parcel to be packed and handed over.",
    recalled: () => "We wait for the parcel, to call it back.",
    done: () => "Your parcel waits for the carrier.",
    undoing: () => "We call the parcel back.",
    undone: (o) => (o.tracking ? "The parcel had left already; you may keep it." : "The parcel was unpacked again."),
  },
};

const EVENTS = {
  OrderPlaced: (o) => [`You ordered ${things(o)} for ${money(o.total_cents)}.`],
  OrderConfirmed: () => ["The order is confirmed. From here it will be carried out, or refunded.", "good"],
  OrderCompleted: () => ["Done: paid, and waiting for the carrier.", "good"],
  OrderShipped: (o, event) => [`The carrier has your parcel. Its number is ${event.tracking}.`, "good"],
  CompensationStarted: () => ["The order cannot be carried out; we undo what was done.", "warning"],
  CancellationRequested: () => ["You asked to cancel.", "warning"],
  OrderRejected: () => ["Everything is undone. Nothing was charged.", "warning"],
  OrderCancelled: () => ["The order is cancelled. Nothing was charged.", "warning"],
  OrderRefunded: (o) => [`The order is cancelled, and ${money(o.total_cents)} is back on your account.`, "warning"],
};

/** The sentences of one event: {at_ms, words, type, tone}. A step's sentence names the message behind it. */
export function sentences(order, event) {
  const own = EVENTS[event.type]?.(order, event);
  const told = event.changes.map((change) => step(order, change)).filter(Boolean);
  if (own) {
    const first = ["OrderPlaced", "CompensationStarted", "CancellationRequested"].includes(event.type);
    // An answer comes before what follows from it: "done" and "refused" belong in front of the event's own sentence.
    const at = first ? told.filter((one) => one.answer).length : firstCommand(told);
    told.splice(at, 0, { words: own[0], tone: own[1] ?? "", type: event.type });
  }
  return told.map((one) => ({ ...one, at_ms: event.time_ms, sequence: event.sequence }));
}

function firstCommand(told) {
  const at = told.findIndex((one) => !one.answer);
  return at < 0 ? told.length : at;
}

function step(order, { step: key, status, attempt, note }) {
  const words = STEPS[key]?.[status]?.(order, note);
  if (!words) return null;
  const again = attempt > 1 ? ` Attempt ${attempt}: ${note || "no answer before"}.` : "";
  const tone = { refused: "warning", undoing: "warning", undone: "warning", done: "good" }[status] ?? "";
  return { words: words + again, type: MESSAGES[key]?.[status] ?? "", tone, answer: ["done", "refused", "undone"].includes(status) };
}

/** One sentence about where the order stands. */
export function headline(order) {
  const why = because(order.reason);
  return {
    placed: "We are preparing your order.",
    confirmed: "Your order is confirmed and being carried out.",
    completed: order.tracking ? `Your parcel is with the carrier: ${order.tracking}.` : "Paid, and waiting for the carrier.",
    rejecting: `We could not carry the order out${why}. We undo what was done.`,
    rejected: `We could not carry the order out${why}. Everything is undone, and nothing was charged.`,
    cancelling: "We are cancelling your order and undo what was done.",
    cancelled: "Your order is cancelled. Nothing was charged.",
    refunding: "We are cancelling your order and give your money back.",
    refunded: "Your order is cancelled, and your money is back on your account.",
  }[order.status] ?? "We wait for the first news of your order.";
}

const because = (note) => (note ? `: ${note}` : "");
const things = (order) => count((order.lines ?? []).reduce((sum, one) => sum + one.quantity, 0), "piece");
