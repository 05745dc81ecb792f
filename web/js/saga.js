// The order as its events tell it: a pure fold, so that any moment of its history can be shown again.

/** The line, in the order of travel. `sends` and `says` name the messages of each status; a place sends nothing. */
export const STATIONS = [
  { key: "placed", name: "Order placed", service: "orders", place: true },
  { key: "stock", name: "Stock", service: "fulfillment", says: {
    asked: "ReserveStock", done: "StockReserved", refused: "StockRejected", undoing: "ReleaseStock", undone: "StockReleased" } },
  { key: "payment", name: "Payment", service: "payments", says: {
    asked: "AuthorizePayment", done: "PaymentAuthorized", refused: "PaymentDeclined", undoing: "ReleasePayment", undone: "PaymentReleased" } },
  { key: "confirmed", name: "Confirmed", service: "orders", place: true, pivot: true },
  { key: "capture", name: "Capture", service: "payments", says: {
    owed: "CapturePayment", recalled: "CapturePayment", done: "PaymentCaptured", undoing: "RefundPayment", undone: "PaymentRefunded" } },
  { key: "shipment", name: "Shipment", service: "fulfillment", says: {
    owed: "RequestShipment", recalled: "RequestShipment", done: "ShipmentRequested", undoing: "CancelShipment", undone: "ShipmentCancelled" } },
  { key: "carrier", name: "Carrier", service: "fulfillment", place: true, branch: true },
];

const FINAL = new Set(["completed", "rejected", "cancelled", "refunded"]);
const CANCELLABLE = new Set(["placed", "confirmed", "completed"]);
export const WAITING = new Set(["asked", "owed", "recalled", "undoing"]);

/** The types of an order's events: the names under which the event stream sends them. */
export const EVENT_TYPES = [
  "OrderPlaced", "SagaMoved", "OrderConfirmed", "OrderCompleted", "OrderShipped",
  "CompensationStarted", "CancellationRequested", "OrderRejected", "OrderCancelled", "OrderRefunded",
];

const STATUS_AFTER = {
  OrderPlaced: "placed", OrderConfirmed: "confirmed", OrderCompleted: "completed", CompensationStarted: "rejecting",
  OrderRejected: "rejected", OrderCancelled: "cancelled", OrderRefunded: "refunded",
};

/**
 * What an order is after these events (oldest first).
 * A stop has a status and its tries: {back, from_ms, until_ms, failed, note}; the last one without until_ms is running.
 */
export function fold(events) {
  const order = { status: "", reason: "", tracking: "", placed_ms: 0, stops: {} };
  for (const { key } of STATIONS) order.stops[key] = { status: "idle", tries: [] };
  for (const event of events) follow(order, event);
  order.cancellable = CANCELLABLE.has(order.status);
  return order;
}

function follow(order, event) {
  const { stops } = order;
  const at = event.time_ms;
  if (event.type === "OrderPlaced") {
    order.placed_ms = at;
    arrive(stops.placed, at);
  }
  if (event.type === "OrderConfirmed") arrive(stops.confirmed, at);
  if (event.type === "OrderShipped") arrive(stops.carrier, at);
  order.status = event.type === "CancellationRequested" ? cancelling(order) : STATUS_AFTER[event.type] ?? order.status;
  order.reason = event.reason || order.reason;
  order.tracking = event.tracking || order.tracking;
  for (const change of event.changes) if (stops[change.step]) move(stops[change.step], change, at);
}

const cancelling = ({ status }) => (status === "placed" ? "cancelling" : "refunding");

function arrive(stop, at) {
  stop.status = "done";
  stop.tries.push({ from_ms: at, until_ms: at });
}

function move(stop, { status, attempt, note }, at) {
  const running = stop.tries.at(-1);
  const answered = status === "done" || status === "undone";
  const again = WAITING.has(status) && (status !== "recalled" || attempt > stop.tries.length);
  stop.status = status;
  if (running && running.until_ms === undefined && (again || answered || status === "refused")) {
    Object.assign(running, { until_ms: at, failed: !answered, note: answered ? "" : note || "given up" });
  }
  if (again) stop.tries.push({ back: status === "undoing", from_ms: at });
}

/** Nothing more is expected of this order: it ended without a delivery, or its parcel has left. */
export const isOver = ({ status, tracking }) => FINAL.has(status) && (status !== "completed" || Boolean(tracking));

/** Where the way back turns, and which gaps (from station i to i + 1) it has run through already. */
export function wayBack({ status, stops }) {
  const states = STATIONS.map(({ key }) => stops[key].status);
  const turned = states.findLastIndex((one) => one === "refused" || one === "undoing" || one === "undone");
  const home = STATIONS.findIndex(({ key }) => key === (stops.confirmed.status === "done" ? "confirmed" : "placed"));
  const ended = FINAL.has(status) && status !== "completed";
  if (turned < 0 && !ended) return { turned, reached: Infinity };
  const undone = states.findIndex((one, i) => i > home && (one === "undoing" || one === "undone"));
  return { turned, reached: ended ? home : undone < 0 ? turned : undone };
}
