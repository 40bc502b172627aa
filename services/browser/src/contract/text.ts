/**
 * Text by code points, as the contract counts it, and how messages show it. JavaScript counts in halves of them.
 */

/** Code points; a lone surrogate is one. */
export function codePoints(text: string): number {
  let count = text.length;
  for (let at = 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code >= 0xdc00 && code <= 0xdfff && isHigh(text.charCodeAt(at - 1))) count--;
  }
  return count;
}

/** The first `count` code points. */
export function firstPoints(text: string, count: number): string {
  if (text.length <= count) return text;
  let at = 0;
  for (let seen = 0; seen < count && at < text.length; seen++) at += text.codePointAt(at)! > 0xffff ? 2 : 1;
  return text.slice(0, at);
}

/** Whether no surrogate stands alone, so that the text has a form in UTF-8. */
export function wellFormed(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0xd800 || code > 0xdfff) continue;
    const next = text.charCodeAt(at + 1);
    if (!isHigh(code) || !(next >= 0xdc00 && next <= 0xdfff)) return false;
    at++;
  }
  return true;
}

function isHigh(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}

/** Below, at or above zero by the order of code points, which is that of UTF-8 bytes. */
export function comparePoints(left: string, right: string): number {
  const least = Math.min(left.length, right.length);
  for (let at = 0; at < least; at++) {
    if (left.charCodeAt(at) === right.charCodeAt(at)) continue;
    // The halves of a character above U+FFFF count as more than any other unit, unless they stand alone.
    return pointAt(left, at) - pointAt(right, at);
  }
  return left.length - right.length;
}

function pointAt(text: string, at: number): number {
  const code = text.charCodeAt(at);
  const low = code >= 0xdc00 && code <= 0xdfff;
  return text.codePointAt(low && at > 0 && isHigh(text.charCodeAt(at - 1)) ? at - 1 : at)!;
}

const UNPRINTABLE = /[\p{C}\p{Z}]/u;

/** Text in double quotes, as JSON; escaped to ASCII where some of it cannot be seen. */
export function quoted(text: string): string {
  const json = JSON.stringify(text);
  return UNPRINTABLE.test(text.replace(/ /g, "")) ? json.replace(/[\x7f-\uffff]/g, escaped) : json;
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** Text in single quotes, as messages about names have it. */
export function named(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let out = quote;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (character === "\\" || character === quote) out += `\\${character}`;
    else if (character === "\n") out += "\\n";
    else if (character === "\r") out += "\\r";
    else if (character === "\t") out += "\\t";
    else if (character === " " || !UNPRINTABLE.test(character)) out += character;
    else if (code < 0x100) out += `\\x${code.toString(16).padStart(2, "0")}`;
    else if (code < 0x10000) out += `\\u${code.toString(16).padStart(4, "0")}`;
    else out += `\\U${code.toString(16).padStart(8, "0")}`;
  }
  return out + quote;
}

const VALUES = new Int8Array(128).fill(-1);
[..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"].forEach((character, value) => {
  VALUES[character.charCodeAt(0)] = value;
});
const ALPHABET = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"];

/** The bytes of strict standard base64, padding included, or null for what is none. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  if (text.length % 4) return null;
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const out = new Uint8Array((text.length / 4) * 3 - padding);
  const digits = text.length - padding;
  let bits = 0;
  let held = 0;
  let put = 0;
  for (let at = 0; at < digits; at++) {
    const value = VALUES[text.charCodeAt(at)] ?? -1;
    if (value < 0) return null;
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out[put++] = (held >>> bits) & 0xff;
    }
  }
  return out;
}

/** Bytes as standard base64. */
export function toBase64(bytes: Uint8Array): string {
  let out = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const left = bytes.length - at;
    const word = (bytes[at]! << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    out += ALPHABET[word >>> 18]! + ALPHABET[(word >>> 12) & 63]!;
    out += (left > 1 ? ALPHABET[(word >>> 6) & 63]! : "=") + (left > 2 ? ALPHABET[word & 63]! : "=");
  }
  return out;
}
