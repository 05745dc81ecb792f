// What a phone remembers of the numbers of its messages; sagashop/cli/phone_memory.py tells why, and does the same.
// It is plain data, to be kept as JSON: up to `top` each number was heard, or lies in one of the `gaps` [first, last].

const MOST_GAPS = 100;

export const begin = (since) => ({ top: since, gaps: [], counted: 0 });

/** Take note of a number that came. Whether it is new; else the phone has had it, and drops it. */
export function hear(memory, number) {
  passOver(memory, number);
  const place = memory.gaps.findIndex(([first, last]) => first <= number && number <= last);
  if (place < 0) return false;
  const [first, last] = memory.gaps[place];
  const left = [[first, number - 1], [number + 1, last]].filter(([from, to]) => from <= to);
  memory.gaps.splice(place, 1, ...left);
  return true;
}

/** What was not heard up to here is missing; new all the same, should it ever come. */
export function passOver(memory, number) {
  if (number > memory.top) {
    memory.gaps.push([memory.top + 1, number]);
    memory.top = number;
  }
  if (memory.gaps.length > MOST_GAPS) memory.counted += size(memory.gaps.shift());
}

const size = ([first, last]) => last - first + 1;

/** So many have come by neither way. */
export const missing = (memory) => memory.gaps.reduce((sum, gap) => sum + size(gap), memory.counted);

/** What a phone says to its user; nothing where nothing is missing. */
export const missingWords = (count) => count
  ? `${count} ${count === 1 ? "message is" : "messages are"} missing: neither the queue nor HTTP brought them.`
  : "";
