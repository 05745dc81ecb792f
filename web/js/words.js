// How the pages speak: amounts, times, and what went wrong.

const euros = new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const money = (cents) => euros.format(cents / 100);
export const when = (ms) => day.format(new Date(ms));
export const count = (n, one) => (n === 1 ? `1 ${one}` : `${n} ${one}s`);
export const shortId = (id) => (id.length > 12 ? id.slice(0, 8) : id);

/** 0.004 s is "4 ms", 2.34 s is "2.3 s", 75 s is "1 min 15 s". */
export function span(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

const EXPLAINED = {
  "unreachable": "The shop does not answer. We do not know whether this went through; trying again is safe.",
  "unavailable": "The shop cannot do this right now. Nothing is lost; try again in a moment.",
  "too-many-requests": "That was a lot at once. Wait a moment, then try again.",
  "not-logged-in": "You are not logged in any more. Log in and try again; your cart is kept.",
  "forbidden": "This belongs to somebody else.",
  "wrong-credentials": "E-mail or password is wrong.",
  "wrong-password": "This is not your current password.",
  "too-many-attempts": "Too many attempts with this password. Wait a minute, then try again.",
  "email-taken": "Somebody has signed up with this address. Log in instead.",
  "bad-email": "This does not look like an e-mail address.",
  "weak-password": "A password needs at least 8 characters.",
  "bad-name": "A name has 1 to 100 characters.",
  "bad-quantity": "A cart holds at most 99 pieces of one product.",
  "cart-full": "Your cart is full: it holds 50 different products.",
  "not-on-sale": "This product is not sold at the moment.",
  "unknown-product": "We do not sell this product any more.",
  "price-changed": "A price has changed since you looked. Nothing was ordered or charged; check the new total and order again.",
  "too-late": "It is too late to cancel this order.",
  "idempotency-key-reused": "This cart was ordered already. Look at your orders.",
  "internal": "Something broke on our side.",
};

/** A problem in the reader's words. What we have no words for, the service's own title and detail explain. */
export function explain(problem) {
  const known = EXPLAINED[problem.kind];
  if (known && problem.kind !== "internal") return known;
  const words = [known ?? problem.message, problem.detail].filter(Boolean).join(" ");
  return /[.!?]$/.test(words) ? words : `${words}.`;
}

export const STATUS = {
  placed: ["On its way", "going"],
  confirmed: ["Confirmed", "going"],
  completed: ["Completed", "good"],
  rejecting: ["Turning back", "warning"],
  rejected: ["Not carried out", "warning"],
  cancelling: ["Being cancelled", "warning"],
  cancelled: ["Cancelled", "warning"],
  refunding: ["Being refunded", "warning"],
  refunded: ["Refunded", "warning"],
};
