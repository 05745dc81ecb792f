// An order's events as they happen. EventSource reconnects where a connection breaks; where it was refused, we do, slower and slower.

import { EVENT_TYPES } from "./saga.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;

/**
 * Call onEvent({sequence, type, time_ms, changes, …}) for each event beyond `after`, in order and once, until it answers
 * false or the signal aborts. onLine("open", "lost" or "over") tells how the stream is. onRefused() looks into why it was
 * not opened, before it is tried again.
 */
export function follow(orderId, { after, signal, onEvent, onLine, onRefused }) {
  let last = after;
  let pause = FIRST_PAUSE_MS;
  let source, timer;

  function open() {
    source = new EventSource(`/api/orders/${encodeURIComponent(orderId)}/events`);
    source.onopen = () => {
      pause = FIRST_PAUSE_MS;
      onLine("open");
    };
    source.onerror = () => {
      if (signal.aborted) return;
      onLine("lost");
      if (source.readyState === EventSource.CLOSED) onRefused().finally(later);
    };
    for (const type of EVENT_TYPES) source.addEventListener(type, take);
  }

  function take(message) {
    const event = readEvent(message);
    if (event.sequence <= last) return;
    last = event.sequence;
    if (onEvent(event)) return;
    source.close();
    onLine("over");
  }

  function later() {
    if (signal.aborted) return;
    timer = setTimeout(open, pause);
    pause = Math.min(LONGEST_PAUSE_MS, pause * 2);
  }

  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    source.close();
  });
  open();
}

function readEvent(message) {
  return { changes: [], ...JSON.parse(message.data), sequence: Number(message.lastEventId), type: message.type };
}
