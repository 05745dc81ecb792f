// A phone's connection: each message once. What the queue has dropped shows as a gap and is fetched over HTTP.

import { get, withQuery } from "./api.js";
import { hear, passOver } from "./phone-memory.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const CATCH_UP_MS = 3_000; // nothing came for so long, so nothing waits
const PATHS = { direct: "/api/notifications/mine", broadcast: "/api/notifications/broadcasts" };
const TAKEN_OVER = 4409;
const FINAL = { 4404: "removed", 4401: "logged-out", [TAKEN_OVER]: "elsewhere" };

/**
 * numbers: {direct, broadcast}, what phone-memory.js remembers of each. It is changed by us and kept by the caller, whenever
 * it is told something: what was shown before it is acknowledged must not be forgotten.
 * onMessage({kind, number, text, …}) is called once for each; onLine("open", "lost", "off", or why it ended for good).
 */
export class PhoneLine {
  #socket = null;
  #timer = null;
  #pause = FIRST_PAUSE_MS;
  #work = Promise.resolve();
  #hello = {};
  #quiet = null;

  constructor(deviceId, numbers, { onMessage, onLine, onRepeated, onMissing }) {
    Object.assign(this, { deviceId, numbers, onMessage, onLine, onRepeated, onMissing });
  }

  open() {
    clearTimeout(this.#timer);
    const address = new URL(`/api/notifications/devices/${encodeURIComponent(this.deviceId)}/socket`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.#socket = socket;
    socket.onopen = () => this.onLine("open");
    socket.onmessage = ({ data }) => this.#soon(socket, () => this.#hear(socket, JSON.parse(data)));
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

  #soon(socket, work) {
    this.#work = this.#work.then(work).catch(() => socket.close());
  }

  async #hear(socket, frame) {
    this.#pause = FIRST_PAUSE_MS;
    clearTimeout(this.#quiet);
    if (frame.hello) this.#hello = frame.hello;
    else await this.#receive(socket, frame);
    this.#quiet = setTimeout(() => this.#soon(socket, () => this.#catchUp(socket)), CATCH_UP_MS);
  }

  async #receive(socket, { tag, message }) {
    await this.#fetch(message.kind, message.number - 1);
    this.#take(message);
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ ack: tag }));
  }

  /** Nothing comes: then what the greeting named is here, or must be fetched. */
  async #catchUp(socket) {
    if (socket !== this.#socket || socket.readyState !== WebSocket.OPEN) return;
    for (const kind of Object.keys(PATHS)) await this.#fetch(kind, this.#hello[kind]);
  }

  /**
   * Ask for what is gone from the queue, up to this number, page by page; what does not come is missing.
   * What a page has beyond it still waits in the queue, and is left to come from there.
   */
  async #fetch(kind, last) {
    const memory = this.numbers[kind];
    let more = true;
    while (more && memory.top < last) {
      const { items } = await get(withQuery(PATHS[kind], { after: memory.top }));
      const wanted = items.reverse().filter(({ number }) => number <= last);
      for (const message of wanted) this.#take({ ...message, kind, fetched: true });
      more = wanted.length > 0;
    }
    if (memory.top >= last) return;
    passOver(memory, last);
    this.onMissing();
  }

  #take(message) {
    if (hear(this.numbers[message.kind], message.number)) this.onMessage(message);
    else this.onRepeated();
  }
}
