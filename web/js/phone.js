// This browser as a phone of the customer who is logged in.

import { doorway } from "./account.js";
import { ask, get } from "./api.js";
import { busy, field, h, say } from "./dom.js";
import { PhoneLine } from "./phone-line.js";
import { begin, missing, missingWords } from "./phone-memory.js";
import { failure, skeleton, state } from "./states.js";
import { look, visitor } from "./visitor.js";
import { explain, when } from "./words.js";

const DEVICES = "/api/notifications/devices";
const SHOWN = 50;
const LINE = {
  open: ["On line", "good"],
  lost: ["Connecting again", "warning"],
  off: ["Off line", "warning"],
  elsewhere: ["Open elsewhere", "warning"],
};
const main = document.getElementById("main");
const page = (...content) => main.replaceChildren(h("div.page", {}, h("h1", {}, "Phone"), content));

async function show() {
  page(skeleton(1));
  try {
    await look();
    if (!visitor.who.logged_in) return page(h("section.sheet", {}, h("p", {}, "Log in to get messages about your orders here."), doorway(show)));
    if (visitor.who.role !== "customer") return page(state("This is for customers", "An operator has no orders to hear of.", h("a.button", { href: "/#/account" }, "Log in as somebody else")));
    const { items } = await get(DEVICES);
    const memory = recall();
    const mine = memory?.numbers && items.find((device) => device.device_id === memory.device_id);
    if (mine) phone(mine, memory, items);
    else offer(items);
  } catch (problem) {
    page(failure(problem, show));
  }
}

// What a phone remembers is kept in the browser, one for each customer.
const place = () => `phone:${visitor.who.customer_id}`;
const recall = () => JSON.parse(localStorage.getItem(place()) ?? "null");
const remember = (memory) => localStorage.setItem(place(), JSON.stringify(memory));

function offer(items) {
  const name = field("Name of this phone", { name: "name", required: true, maxLength: 100, value: "This browser" });
  const button = h("button.main", { type: "submit" }, "Make this browser a phone");
  const wrong = h("p.wrong", { role: "alert" });
  async function register() {
    try {
      const device = await ask("POST", DEVICES, { body: { name: name.input.value } });
      const numbers = { direct: begin(device.since.direct), broadcast: begin(device.since.broadcast) };
      remember({ device_id: device.device_id, numbers, messages: [], repeated: 0, fetched: 0 });
      await show();
    } catch (problem) {
      wrong.textContent = explain(problem);
    }
  }
  const onsubmit = (event) => { event.preventDefault(); busy(button, register); };
  page(h("div.two", {},
    h("form.sheet", { onsubmit, "aria-label": "New phone" },
      h("h2", {}, "Not a phone yet"),
      h("p.soft", {}, "A phone gets every message about your orders, also those that came while it was off line."), name, wrong, button),
    others(items)));
}

function phone(device, memory, items) {
  const chip = h("span.chip", { role: "status" }, "Connecting");
  const list = h("ol", { "aria-label": "Messages, newest first" }, memory.messages.map(row));
  const empty = h("p.soft", { hidden: memory.messages.length > 0 }, "Nothing yet. Order something in the shop, and watch this page.");
  const facts = h("dl.facts"), lost = h("p.wrong", { role: "status" });
  const toggle = h("button", { type: "button", onclick: () => (line ? leave() : come()) }, "Go off line");
  let line = null;

  function come() {
    line = new PhoneLine(device.device_id, memory.numbers, { onMessage, onLine, onRepeated, onMissing: keep });
    line.open();
  }
  function leave() {
    line.close();
    line = null;
  }
  function onLine(how) {
    if (how === "removed" || how === "logged-out") return void show();
    const [words, tone] = LINE[how];
    chip.textContent = words;
    chip.dataset.tone = tone;
    if (how === "elsewhere") line = null;
    toggle.textContent = line && how !== "off" ? "Go off line" : "Go on line";
  }
  function onMessage(message) {
    memory.messages = [message, ...memory.messages].slice(0, SHOWN);
    if (message.fetched) memory.fetched += 1;
    keep();
    list.prepend(row(message));
    while (list.children.length > SHOWN) list.lastChild.remove();
    empty.hidden = true;
    say(message.text);
  }
  function onRepeated() {
    memory.repeated += 1;
    keep();
  }
  function keep() {
    remember(memory);
    count();
  }
  function count() {
    const { direct, broadcast } = memory.numbers;
    const told = [
      ["Last message of your orders", direct.top], ["Last broadcast", broadcast.top],
      ["Came again and were dropped", memory.repeated], ["Missed, and fetched over HTTP", memory.fetched],
    ];
    facts.replaceChildren(...told.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    lost.textContent = missingWords(missing(direct) + missing(broadcast));
  }

  count();
  page(h("div.two", {},
    h("section.messages", { "aria-label": device.name }, h("div.row.spread", {}, h("h2", {}, device.name), chip), empty, list),
    h("div.page", {},
      h("section.sheet", {}, h("h2", {}, "This phone"), facts, lost, h("p.small.soft", {}, "Off line it is told nothing. What comes meanwhile waits in its queue, for a week."),
        h("div.row", {}, toggle, removal(device, "Remove this phone"))),
      others(items.filter((each) => each !== device)))));
  come();
}

function row(message) {
  const subject = message.kind === "direct"
    ? h("a", { href: `/#/orders/${encodeURIComponent(message.order_id)}` }, "Your order")
    : h("span", {}, "To everybody");
  return h("li", { "data-kind": message.kind }, h("p", {}, message.text),
    h("div.meta", {}, subject, h("span", {}, `#${message.number} · ${when(message.time_ms)}${message.fetched ? " · fetched" : ""}`)));
}

function others(items) {
  const rows = items.map((device) => h("li", {}, h("span", {}, device.name, h("span.small.soft", {}, ` since ${when(device.registered_ms)}`)), removal(device, "Remove")));
  return rows.length > 0 && h("section.sheet", {}, h("h2", {}, "Your other phones"), h("ul.others", {}, rows));
}

function removal(device, words) {
  const remove = async () => {
    try {
      await ask("DELETE", `${DEVICES}/${encodeURIComponent(device.device_id)}`);
    } catch (problem) {
      if (problem.status !== 404) return void say(explain(problem));
    }
    if (recall()?.device_id === device.device_id) localStorage.removeItem(place());
    show();
  };
  const button = h("button", { type: "button", onclick: () => busy(button, remove), "aria-label": `${words}: ${device.name}` }, words);
  return button;
}

show();
