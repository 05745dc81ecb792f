// Building elements. Text stays text: nothing here reads HTML, so no answer of a service can become markup.

const SVG = "http://www.w3.org/2000/svg";

/** h("button.main", {onclick, disabled}, "Buy"): tag and classes, properties or attributes, children (null is skipped). */
export function h(what, props = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  element.classList.add(...classes);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on") || (name in element && !name.includes("-"))) element[name] = value;
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** The same for SVG: attributes only. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

let names = 0;

/** A labelled input; `field.input` is the input itself, `field.say(text)` shows (or with "" clears) what is wrong with it. */
export function field(label, props) {
  const id = `field-${++names}`;
  const input = h("input", { id, "aria-describedby": `${id}-wrong`, ...props });
  const wrong = h("span.small.unfit", { id: `${id}-wrong` });
  const element = h("div.field", {}, h("label", { htmlFor: id }, label), input, wrong);
  return Object.assign(element, {
    input,
    say(text) {
      wrong.textContent = text;
      input.setAttribute("aria-invalid", String(Boolean(text)));
    },
  });
}

/** Run an action of a button once at a time; while it runs the button says so. */
export async function busy(button, action) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    await action();
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/** Say something to people who listen to the page. */
export function say(text) {
  document.getElementById("said").textContent = text;
}
