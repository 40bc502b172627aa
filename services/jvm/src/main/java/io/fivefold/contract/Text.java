package io.fivefold.contract;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/** Text by code points, as the contract counts it, and how messages show it. Java counts in halves of them. */
final class Text {
  private Text() {}

  /** Code points; a lone surrogate is one. */
  static int codePoints(String text) {
    return text.codePointCount(0, text.length());
  }

  /** The first {@code count} code points. */
  static String firstPoints(String text, int count) {
    if (text.length() <= count || codePoints(text) <= count) return text;
    return text.substring(0, text.offsetByCodePoints(0, count));
  }

  /** Whether no surrogate stands alone, so that the text has a form in UTF-8. */
  static boolean wellFormed(String text) {
    for (int at = 0; at < text.length(); at++) {
      char unit = text.charAt(at);
      if (!Character.isSurrogate(unit)) continue;
      if (!Character.isHighSurrogate(unit) || at + 1 == text.length()) return false;
      if (!Character.isLowSurrogate(text.charAt(++at))) return false;
    }
    return true;
  }

  /** Below, at or above zero by the order of code points, which is that of UTF-8 bytes. */
  static int comparePoints(String left, String right) {
    int least = Math.min(left.length(), right.length());
    for (int at = 0; at < least; at++) {
      if (left.charAt(at) == right.charAt(at)) continue;
      // The halves of a character above U+FFFF count as more than any other unit, unless they stand alone.
      return pointAt(left, at) - pointAt(right, at);
    }
    return left.length() - right.length();
  }

  private static int pointAt(String text, int at) {
    boolean low = Character.isLowSurrogate(text.charAt(at));
    return text.codePointAt(low && at > 0 && Character.isHighSurrogate(text.charAt(at - 1)) ? at - 1 : at);
  }

  /** Whether a character cannot be seen: of the classes C and Z. */
  static boolean unprintable(int point) {
    switch (Character.getType(point)) {
      case Character.UNASSIGNED:
      case Character.CONTROL:
      case Character.FORMAT:
      case Character.SURROGATE:
      case Character.PRIVATE_USE:
        return true;
      default:
        return blank(point);
    }
  }

  /** Whether a character is of the class Z. */
  static boolean blank(int point) {
    switch (Character.getType(point)) {
      case Character.SPACE_SEPARATOR:
      case Character.LINE_SEPARATOR:
      case Character.PARAGRAPH_SEPARATOR:
        return true;
      default:
        return false;
    }
  }

  /** Text as JSON. */
  static String json(String text) {
    StringBuilder out = new StringBuilder(text.length() + 2).append('"');
    for (int at = 0; at < text.length(); at++) {
      char unit = text.charAt(at);
      if (unit == '"' || unit == '\\') out.append('\\').append(unit);
      else if (unit == '\n') out.append("\\n");
      else if (unit == '\r') out.append("\\r");
      else if (unit == '\t') out.append("\\t");
      else if (unit == '\b') out.append("\\b");
      else if (unit == '\f') out.append("\\f");
      else if (unit < 0x20) out.append(escaped(unit));
      else if (!Character.isSurrogate(unit)) out.append(unit);
      else if (Character.charCount(text.codePointAt(at)) == 2) out.append(unit).append(text.charAt(++at));
      else out.append(escaped(unit));
    }
    return out.append('"').toString();
  }

  private static String escaped(char unit) {
    return "\\u" + padded(unit, 4);
  }

  private static String padded(int value, int width) {
    String digits = Integer.toHexString(value);
    return Numbers.zeros(width - digits.length()) + digits;
  }

  /** Text in double quotes, as JSON; escaped to ASCII where some of it cannot be seen. */
  static String quoted(String text) {
    String json = json(text);
    boolean plain = true;
    for (int at = 0; at < text.length(); at += Character.charCount(text.codePointAt(at))) {
      int point = text.codePointAt(at);
      plain &= point == ' ' || !unprintable(point);
    }
    if (plain) return json;
    StringBuilder out = new StringBuilder();
    for (char unit : json.toCharArray()) {
      if (unit < 0x7f) out.append(unit);
      else out.append(escaped(unit));
    }
    return out.toString();
  }

  /** Text in single quotes, as messages about names have it. */
  static String named(String text) {
    char quote = text.indexOf('\'') >= 0 && text.indexOf('"') < 0 ? '"' : '\'';
    StringBuilder out = new StringBuilder().append(quote);
    for (int at = 0; at < text.length(); ) {
      int point = text.codePointAt(at);
      at += Character.charCount(point);
      if (point == '\\' || point == quote) out.append('\\').append((char) point);
      else if (point == '\n') out.append("\\n");
      else if (point == '\r') out.append("\\r");
      else if (point == '\t') out.append("\\t");
      else if (point == ' ' || !unprintable(point)) out.appendCodePoint(point);
      else if (point < 0x100) out.append("\\x").append(padded(point, 2));
      else if (point < 0x10000) out.append("\\u").append(padded(point, 4));
      else out.append("\\U").append(padded(point, 8));
    }
    return out.append(quote).toString();
  }

  /** The text that bytes of UTF-8 are; throws where they are none. */
  static String decoded(byte[] raw) throws CharacterCodingException {
    return StandardCharsets.UTF_8
        .newDecoder()
        .onMalformedInput(CodingErrorAction.REPORT)
        .onUnmappableCharacter(CodingErrorAction.REPORT)
        .decode(ByteBuffer.wrap(raw))
        .toString();
  }

  /** The bytes of strict standard base64, padding included, or null for what is none. */
  static byte[] fromBase64(String text) {
    if (text.length() % 4 != 0) return null;
    int padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
    int digits = text.length() - padding;
    byte[] out = new byte[text.length() / 4 * 3 - padding];
    int bits = 0;
    int held = 0;
    int put = 0;
    for (int at = 0; at < digits; at++) {
      int value = digit(text.charAt(at));
      if (value < 0) return null;
      held = ((held << 6) | value) & 0xffff;
      bits += 6;
      if (bits >= 8) {
        bits -= 8;
        out[put++] = (byte) (held >>> bits);
      }
    }
    return out;
  }

  private static int digit(char unit) {
    if (unit >= 'A' && unit <= 'Z') return unit - 'A';
    if (unit >= 'a' && unit <= 'z') return unit - 'a' + 26;
    if (unit >= '0' && unit <= '9') return unit - '0' + 52;
    return unit == '+' ? 62 : unit == '/' ? 63 : -1;
  }

  static String toBase64(byte[] bytes) {
    return Base64.getEncoder().encodeToString(bytes);
  }
}
