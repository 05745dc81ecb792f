// A phone's connection: each message once and in order. What the queue has dropped shows as a gap and is fetched over HTTP.

import { get, withQuery } from "./api.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const CATCH_UP_MS = 3_000;
const PATHS = { direct: "/api/notifications/mine", broadcast: "/api/notifications/broadcasts" };
const TAKEN_OVER = 4409;
const FINAL = { 4404: "removed", 4401: "logged-out", [TAKEN_OVER]: "elsewhere" };

/**
 * memory: {seen: {direct, broadcast}, …}, changed by us and to be kept by the caller in onMessage: what was shown before it
 * is acknowledged must not be forgotten.
 * onMessage({kind, number, text, …}) is called once for each; onLine("open", "lost", "off", or why it ended for good).
 */
export class PhoneLine {
  #socket = null;
  #timer = null;
  #pause = FIRST_PAUSE_MS;
  #work = Promise.resolve();
  #hello = null;

  constructor(deviceId, memory, { onMessage, onLine, onRepeated }) {
    Object.assign(this, { deviceId, memory, onMessage, onLine, onRepeated });
  }

  open() {
    clearTimeout(this.#timer);
    const address = new URL(`/api/notifications/devices/${encodeURIComponent(this.deviceId)}/socket`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.#socket = socket;
    socket.onopen = () => this.onLine("open");
    socket.onmessage = ({ data }) => {
      this.#work = this.#work.then(() => this.#hear(socket, JSON.parse(data))).catch(() => socket.close());
    };
    socket.onclose = ({ code }) => {
      if (socket === this.#socket) this.#lost(FINAL[code]);
    };
  }

  /** Go off line, as a phone in a tunnel: what comes now waits in its queue. */
  close() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.onLine("off");
  }

  #lost(why) {
    this.onLine(why ?? "lost");
    if (why) return;
    this.#timer = setTimeout(() => this.open(), this.#pause * (0.5 + Math.random() / 2));
    this.#pause = Math.min(LONGEST_PAUSE_MS, this.#pause * 2);
  }

  async #hear(socket, frame) {
    this.#pause = FIRST_PAUSE_MS;
    if (frame.hello) {
      this.#hello = frame.hello;
      setTimeout(() => { this.#work = this.#work.then(() => this.#catchUp(socket)).catch(() => socket.close()); }, CATCH_UP_MS);
      return;
    }
    const { kind, number } = frame.message;
    if (number > this.memory.seen[kind] + 1) await this.#fetch(kind);
    if (number > this.memory.seen[kind]) this.#take({ ...frame.message });
    else this.onRepeated();
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ ack: frame.tag }));
  }

  /** What the greeting named and the queue did not bring is not in the queue. */
  async #catchUp(socket) {
    if (socket !== this.#socket) return;
    for (const kind of Object.keys(PATHS)) if (this.memory.seen[kind] < this.#hello[kind]) await this.#fetch(kind);
  }

  async #fetch(kind) {
    const { items } = await get(withQuery(PATHS[kind], { after: this.memory.seen[kind] }));
    for (const message of items.reverse()) if (message.number > this.memory.seen[kind]) this.#take({ ...message, kind, fetched: true });
  }

  #take(message) {
    this.memory.seen[message.kind] = message.number;
    this.onMessage(message);
  }
}
