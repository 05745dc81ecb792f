// A still life for each product, drawn from its SKU: the same on every reload. Colours are classes, so they follow the theme.

import { s } from "./dom.js";

const KIND_OF = { MUG: "mugs", KIT: "kitchen", TEX: "textiles", STA: "stationery", LGT: "lighting", GRD: "garden", BAG: "bags", GAM: "games" };

/** A picture of 4 by 3; decorative, because the name stands beside it. */
export function picture(sku, category = KIND_OF[sku.split("-")[0]]) {
  const pick = dice(sku);
  const [main, second, third] = shuffled(["paint-1", "paint-2", "paint-3", "paint-4", "paint-5"], pick);
  const paints = { main, second, third };
  const drawing = s("svg", { viewBox: "0 0 160 120", class: "picture", "aria-hidden": "true", focusable: "false" });
  drawing.append(
    rect(0, 0, 160, 120, `wall-${1 + pick(4)}`),
    circle(30 + pick(100), 34 + pick(16), 16 + pick(10), "sun"),
    rect(0, 88, 160, 32, "table"),
    s("ellipse", { cx: 80, cy: 97, rx: 46, ry: 5, class: "table" }),
    ...(DRAW[category] ?? DRAW.games)(paints, pick),
  );
  return drawing;
}

const rect = (x, y, width, height, paint, rx = 0) => s("rect", { x, y, width, height, rx, class: paint });
const circle = (cx, cy, r, paint) => s("circle", { cx, cy, r, class: paint });
const path = (d, paint) => s("path", { d, class: paint });
const stroke = (d, paint, width = 5) => s("path", { d, class: `${paint} stroke`, "stroke-width": width });

const DRAW = {
  mugs({ main, second }, pick) {
    const tall = 36 + pick(16), wide = 40 + pick(14), x = 78 - wide / 2, y = 96 - tall, round = tall / 3.4;
    const band = y + 8 + pick(tall - 22);
    return [
      stroke(`M${x + wide} ${y + 8}a${round} ${round} 0 0 1 0 ${2 * round}`, main, 6),
      path(`M${x} ${y}h${wide}v${tall - 12}a12 12 0 0 1-12 12h-${wide - 24}a12 12 0 0 1-12-12z`, main),
      rect(x, band, wide, 4 + pick(5), second),
    ];
  },
  kitchen({ main, second, third }, pick) {
    const tall = 30 + pick(14), y = 96 - tall;
    return [
      stroke(`M44 ${y + 10}h-10M116 ${y + 10}h10`, second, 6),
      path(`M46 ${y}h68v${tall - 10}a10 10 0 0 1-10 10h-48a10 10 0 0 1-10-10z`, main),
      path(`M44 ${y}a36 14 0 0 1 72 0z`, second), circle(80, y - 15, 5, third),
    ];
  },
  textiles({ main, second, third }, pick) {
    const layers = 3 + pick(2), paints = [main, second, third, main];
    return [
      ...Array.from({ length: layers }, (_, i) => rect(42 + i * 3, 82 - i * 15, 76 - i * 6, 14, paints[i], 7)),
      rect(64 + pick(20), 97 - layers * 15, 8, layers * 15 - 1, "paint-light"),
    ];
  },
  stationery({ main, second, third }, pick) {
    const x = 50 + pick(10);
    return [
      rect(x, 36, 46, 60, main, 4), rect(x, 36, 9, 60, second, 3), rect(x + 17, 48, 21, 10 + pick(6), "paint-light", 2),
      path("M114 96v-48l4-10 4 10v48z", third), path("M114 48l4-10 4 10z", "paint-light"),
    ];
  },
  lighting({ main, second, third }, pick) {
    const wide = 20 + pick(12), top = 28 + pick(8);
    return [
      path(`M80 ${top + 26}l-44 ${68 - top}h88z`, "glow"),
      rect(77, top + 20, 6, 74 - top, second), rect(62, 92, 36, 5, second, 2),
      path(`M${80 - wide / 2} ${top}h${wide}l14 28h-${wide + 28}z`, main), circle(80, top + 30, 5, third),
    ];
  },
  garden({ main, second }, pick) {
    const leaf = (dx, dy) => path(`M80 68c${dx / 4} ${dy / 1.4} ${dx} ${dy / 1.1} ${dx} ${dy}c${-dx / 1.3} 2 ${-dx} ${-dy / 3} ${-dx} ${-dy}z`, "paint-4");
    const high = 30 + pick(12);
    return [
      stroke(`M80 70v-${high - 6}`, "paint-4", 3), leaf(-24 - pick(8), -high + 6), leaf(24 + pick(8), -high), leaf(-10, -high - 10),
      path("M58 66h44l-6 30h-32z", main === "paint-4" ? second : main), rect(55, 61, 50, 9, main === "paint-4" ? second : main, 2), rect(62, 76, 36, 3 + pick(3), "paint-light"),
    ];
  },
  bags({ main, second, third }, pick) {
    const wide = 52 + pick(18), x = 80 - wide / 2, y = 46 + pick(6);
    return [
      stroke(`M${x + 14} ${y + 4}v-10a${wide / 2 - 14} 14 0 0 1 ${wide - 28} 0v10`, second, 5),
      path(`M${x} ${y}h${wide}l4 ${90 - y}a6 6 0 0 1-6 6h-${wide - 4}a6 6 0 0 1-6-6z`, main),
      rect(x + wide / 2 - 14, y + 18, 28, 18 + pick(6), third, 3),
    ];
  },
  games({ main, second, third }, pick) {
    return [
      rect(40, 62, 34, 34, main, 5), circle(50, 72, 3.5, "paint-light"), circle(64, 86, 3.5, "paint-light"), pick(2) ? circle(57, 79, 3.5, "paint-light") : "",
      path("M98 38l22 58h-44z", second), circle(72 + pick(16), 47, 13, third),
    ];
  },
};

/** pick(n): a whole number below n, always the same sequence for the same text (FNV-1a, then xorshift). */
function dice(text) {
  let state = 2166136261;
  for (const letter of text) state = Math.imul(state ^ letter.codePointAt(0), 16777619);
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}

function shuffled(list, pick) {
  return list.map((one) => [pick(997), one]).sort((a, b) => a[0] - b[0]).map(([, one]) => one);
}
