// The operator's page of caught e-mails: a list that keeps itself up to date, and the mail that is read.

import { doorway } from "./account.js";
import { get } from "./api.js";
import { h } from "./dom.js";
import { failure, state } from "./states.js";
import { count, when } from "./words.js";

const EVERY_MS = 3_000;
const main = document.getElementById("main");
const title = () => h("h1", {}, "E-mails");

let timer;
async function show() {
  clearTimeout(timer);
  try {
    render((await get("/api/notifications/mails")).items);
    timer = setTimeout(show, EVERY_MS);
  } catch (problem) {
    main.replaceChildren(h("div.page", {}, title(), refusal(problem)));
    if (problem.status === 0 || problem.status === 503) timer = setTimeout(show, EVERY_MS);
  }
}

function refusal(problem) {
  if (problem.kind === "not-logged-in") return h("section.sheet", {}, h("p", {}, "Log in as the operator."), doorway(show));
  if (problem.kind === "forbidden") return state("Only the operator reads this", "E-mails hold what was meant for customers.", h("a.button", { href: "/#/account" }, "Log in as somebody else"));
  if (problem.kind === "no-mail-catcher") return state("No mail catcher here", "The e-mails of this stack go out to their recipients, by the SMTP server in SMTP_URL.");
  return failure(problem, show);
}

let shown = "";
let open = null;
function render(mails) {
  const now = JSON.stringify(mails);
  if (now === shown && main.querySelector(".mails, .state")) return;
  shown = now;
  if (mails.length === 0) {
    main.replaceChildren(h("div.page", {}, title(), state("No e-mails yet", "Sign up or order something: the e-mail about it appears here.")));
    return;
  }
  const list = h("ul", { "aria-label": "E-mails, newest first" }, mails.map(row));
  const reading = main.querySelector(".mails article") ?? h("article.sheet", {}, h("p.soft", {}, "Choose an e-mail to read it."));
  main.replaceChildren(h("div.page", {}, h("div.head", {}, title(), h("p.soft", {}, count(mails.length, "e-mail"))), h("div.mails", {}, list, reading)));
}

function row(mail) {
  const button = h("button", { type: "button", onclick: () => read(mail.id, button) },
    h("strong", {}, mail.subject),
    h("span.small.soft", {}, `${mail.to} · ${when(mail.received_ms)}${mail.copies > 1 ? ` · came ${mail.copies} times` : ""}`));
  if (mail.id === open) button.setAttribute("aria-current", "true");
  return h("li", {}, button);
}

async function read(id, button) {
  open = id;
  main.querySelector(".mails [aria-current]")?.removeAttribute("aria-current");
  button.setAttribute("aria-current", "true");
  const place = main.querySelector(".mails article");
  try {
    const mail = await get(`/api/notifications/mails/${id}`);
    if (open === id) place.replaceChildren(...content(mail));
  } catch (problem) {
    place.replaceChildren(failure(problem, () => read(id, button)));
  }
}

// The frame may do nothing at all (sandbox without any permission), and what it loads says so itself (its policy).
function content(mail) {
  const facts = [["From", mail.from], ["To", mail.to], ["Date", mail.date], ["Message-ID", mail.message_id]];
  return [
    h("h2", {}, mail.subject),
    h("dl", {}, facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    h("iframe", { title: "The e-mail as HTML", sandbox: "", src: `/api/notifications/mails/${mail.id}/html` }),
    h("details", {}, h("summary", {}, "As text"), h("pre", {}, mail.text)),
  ];
}

show();
