// JSON text to pieces of itself, so that no digit of a number is lost on the way through this page.

const skip = (text, at) => {
  while (at < text.length && /\s/.test(text[at])) at += 1;
  return at;
};

/** Behind the string that begins at `at`. */
function afterString(text, at) {
  for (at += 1; text[at] !== '"'; at += 1) if (text[at] === "\\") at += 1;
  return at + 1;
}

/** Behind the value that begins at `at`. */
function after(text, at) {
  if (text[at] === '"') return afterString(text, at);
  if (text[at] !== "{" && text[at] !== "[") {
    while (at < text.length && !/[,\]}\s]/.test(text[at])) at += 1;
    return at;
  }
  for (let depth = 0; ; ) {
    const each = text[at];
    if (each === '"') {
      at = afterString(text, at);
      continue;
    }
    at += 1;
    if (each === "{" || each === "[") depth += 1;
    else if ((each === "}" || each === "]") && (depth -= 1) === 0) return at;
  }
}

/** The texts of an array's elements. `text` is known to be JSON, here and below. */
export function elements(text) {
  const out = [];
  for (let at = skip(text, 1); text[at] !== "]"; ) {
    const end = after(text, at);
    out.push(text.slice(at, end));
    at = skip(text, end);
    if (text[at] === ",") at = skip(text, at + 1);
  }
  return out;
}

/** The text of each member of an object, by its name. */
export function members(text) {
  const out = new Map();
  for (let at = skip(text, skip(text, 0) + 1); text[at] !== "}"; ) {
    const key = afterString(text, at);
    const begin = skip(text, skip(text, key) + 1);
    const end = after(text, begin);
    out.set(JSON.parse(text.slice(at, key)), text.slice(begin, end));
    at = skip(text, end);
    if (text[at] === ",") at = skip(text, at + 1);
  }
  return out;
}
