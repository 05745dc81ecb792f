// One way to the services. An answer is JSON or null; everything else is thrown as a Problem.

const ANSWER_WITHIN_MS = 10_000;

/** Tells "lost" when no answer came at all and "back" when one did again. */
export const line = new EventTarget();
let lost = false;

/** What a service (or the front door) refused, as RFC 9457 says it; `kind` is the last part of its type. */
export class Problem extends Error {
  constructor(body, retryAfterS = null) {
    super(body.title ?? "Something went wrong");
    this.kind = (body.type ?? "").split("/").pop() || "unknown";
    this.status = body.status ?? 0;
    this.detail = body.detail ?? "";
    this.requestId = body.request_id ?? "";
    this.body = body;
    this.retryAfterS = retryAfterS;
  }
}

export const UNREACHABLE = "unreachable";

/**
 * Ask a service.
 * Throws Problem; its kind is "unreachable" when no answer came, so whether a write took effect is not known.
 * An AbortError passes as it is: the page that asked is gone.
 */
export async function ask(method, path, { body, headers = {}, signal } = {}) {
  const init = { method, headers: { Accept: "application/json", ...headers }, signal: bounded(signal) };
  if (body !== undefined) {
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  let answer, text;
  try {
    answer = await fetch(path, init);
    text = await answer.text();
  } catch (why) {
    if (signal?.aborted) throw why;
    mark(true);
    throw new Problem({ type: UNREACHABLE, title: "No answer" });
  }
  mark(false);
  const data = parsed(text);
  if (answer.ok) return data;
  const retryAfterS = Number(answer.headers.get("Retry-After")) || null;
  throw new Problem({ status: answer.status, ...data }, retryAfterS);
}

export const get = (path, signal) => ask("GET", path, { signal });

/** "/api/x" and {search: "mug", category: null} make "/api/x?search=mug". */
export function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

function bounded(signal) {
  const timeout = AbortSignal.timeout(ANSWER_WITHIN_MS);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function mark(now) {
  if (now === lost) return;
  lost = now;
  line.dispatchEvent(new Event(lost ? "lost" : "back"));
}
