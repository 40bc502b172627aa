package io.fivefold.contract;

import java.math.BigInteger;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The exact JSON reader: numbers keep what binary64 would lose, objects keep their order, and errors say where.
 *
 * A value is null, Boolean, Long or BigInteger, Double or {@link Literal}, String, List or Map. A body that is not JSON
 * is {@code malformed}, one nested too deeply or with too much in it {@code too_large}, before anything of it is built.
 */
public final class ExactJson {
  private static final int FEW_CONTAINERS = 65_536;
  private static final int BYTES_PER_CONTAINER = 16;
  /** No contract and no manifest is nested so deeply; the stack is. */
  private static final int DEEPEST = 500;

  private ExactJson() {}

  /**
   * Parse a request (RFC 8259, UTF-8, no BOM); {@code perRow} is how many arrays and objects each row may well hold.
   */
  static Object loads(byte[] raw, Limits limits, long perRow) {
    refuse(raw, limits, perRow);
    try {
      return body(Text.decoded(raw));
    } catch (CharacterCodingException error) {
      throw malformed("expected UTF-8, got another byte at offset " + firstOther(raw));
    }
  }

  /** The same of text; a lone surrogate in it stays one, for the field that it stands in to refuse. */
  static Object loads(String text, Limits limits, long perRow) {
    refuse(text.getBytes(StandardCharsets.UTF_8), limits, perRow);
    return body(text);
  }

  private static Object body(String text) {
    if (blank(text)) throw malformed("expected JSON, got an empty body");
    return parse(text, true);
  }

  private static void refuse(byte[] raw, Limits limits, long perRow) {
    refuseTooMuch(raw, limits, perRow);
    if (starts(raw, 0xef, 0xbb, 0xbf)) throw malformed("expected JSON, got a byte order mark first");
    boolean zero = false;
    for (int at = 0; at < Math.min(4, raw.length); at++) zero |= raw[at] == 0;
    if (zero || starts(raw, 0xff, 0xfe) || starts(raw, 0xfe, 0xff)) {
      throw malformed("expected JSON in UTF-8, got UTF-16 or UTF-32");
    }
  }

  static Object parse(String text, boolean exact) {
    try {
      return new Parser(text, exact).document();
    } catch (NotJson error) {
      throw malformed("not JSON: " + error.getMessage());
    }
  }

  /** Parse JSON text; throws {@link ContractException} {@code malformed} with the line and the column. */
  public static Object parse(String text) {
    return parse(text, true);
  }

  /** Whether a parsed value is an integer, as {@code 3} and {@code 3.0} are, equal to that one. */
  public static boolean isInteger(Object value, Number integer) {
    Number whole = Values.isNumber(value) ? Values.whole(value) : null;
    return whole != null && Numbers.compare(whole, integer) == 0;
  }

  /** A parsed number as binary64, rounded once; NaN for anything else. */
  public static double binary64(Object value) {
    return Values.isNumber(value) ? Values.wide(value) : Double.NaN;
  }

  /** A parsed scalar as messages show it: short, and as JSON. */
  public static String shown(Object value) {
    return Findings.describe(value);
  }

  /** Text as a JSON string. */
  public static String string(String text) {
    return Text.json(text);
  }

  private static ContractException malformed(String message) {
    return ContractException.malformed(message, "");
  }

  private static boolean starts(byte[] raw, int... bytes) {
    for (int at = 0; at < bytes.length; at++) {
      if (at >= raw.length || (raw[at] & 0xff) != bytes[at]) return false;
    }
    return true;
  }

  /** Whether there is nothing but what counts as white space somewhere. */
  private static boolean blank(String text) {
    for (int at = 0; at < text.length(); at++) {
      char unit = text.charAt(at);
      boolean control = unit >= 0x09 && unit <= 0x0d || unit >= 0x1c && unit <= 0x20 || unit == 0x85;
      if (!control && !Text.blank(unit)) return false;
    }
    return true;
  }

  /** Where the first sequence that is no UTF-8 begins (RFC 3629, section 4). */
  private static int firstOther(byte[] raw) {
    for (int at = 0; at < raw.length; ) {
      int lead = raw[at] & 0xff;
      int size = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
      if (size == 0) return at;
      for (int next = 1; next < size; next++) {
        int found = at + next < raw.length ? raw[at + next] & 0xff : 0;
        int low = next > 1 ? 0x80 : lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        int high = next > 1 ? 0xbf : lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        if (found < low || found > high) return at;
      }
      at += size;
    }
    return raw.length;
  }

  /** Count without recursion: a hostile body must not reach the parser's stack, or its memory. */
  private static void refuseTooMuch(byte[] raw, Limits limits, long perRow) {
    int level = 0;
    int deepest = 0;
    long containers = 0;
    long longest = 0;
    long run = 0;
    boolean inString = false;
    boolean inArray = false;
    for (int at = 0; at < raw.length; at++) {
      byte found = raw[at];
      if (found == '\\') {
        if (at + 1 < raw.length && (raw[at + 1] == '\\' || raw[at + 1] == '"')) at++;
      } else if (found == '"') {
        inString = !inString;
      } else if (inString) {
        continue;
      } else if (found == '[' || found == '{') {
        containers++;
        level++;
        deepest = Math.max(deepest, level);
        if (level == 2) {
          if (inArray) longest = Math.max(longest, run);
          run = 0;
          inArray = found == '[';
        }
      } else if (found == ']' || found == '}') {
        level--;
      } else if (found == ',' && level == 2) {
        run++;
      }
    }
    longest = Math.max(longest, inArray ? run : 0) + 1;
    if (deepest > limits.maxDepth) {
      String message = "expected JSON nested at most " + limits.maxDepth + " deep, got " + deepest;
      throw new ContractException("too_large", message, "", null);
    }
    refuseRows(longest, limits.maxRows);
    long most = FEW_CONTAINERS + Math.max(raw.length / BYTES_PER_CONTAINER, perRow * longest);
    if (containers > most) {
      String allowed = "expected at most " + most + " arrays and objects in " + raw.length + " bytes";
      String message = allowed + ", got " + containers;
      throw new ContractException("too_large", message, "", "send fewer rows at once");
    }
  }

  /** Throw {@code too_large} for more rows than one request may carry. */
  static void refuseRows(long rows, int maxRows) {
    if (rows <= maxRows) return;
    throw new ContractException("too_large", "expected at most " + maxRows + " rows, got " + rows, "inputs", null);
  }

  private static final class NotJson extends Exception {
    private static final long serialVersionUID = 1L;

    NotJson(String message) {
      super(message);
    }
  }

  private static final class Parser {
    private final String text;
    private final boolean exact;
    private int at;
    private int depth;

    Parser(String text, boolean exact) {
      this.text = text;
      this.exact = exact;
    }

    Object document() throws NotJson {
      blanks();
      Object value = value();
      blanks();
      if (at < text.length()) throw not("Extra data", at);
      return value;
    }

    private NotJson not(String message, int where) {
      int line = 1;
      int start = 0;
      for (int next = text.indexOf('\n'); next >= 0 && next < where; next = text.indexOf('\n', next + 1)) {
        line++;
        start = next + 1;
      }
      int column = text.codePointCount(start, Math.min(where, text.length())) + 1;
      return new NotJson(message + " at line " + line + ", column " + column);
    }

    private char peek() {
      return at < text.length() ? text.charAt(at) : 0;
    }

    private void blanks() {
      while (at < text.length()) {
        char unit = text.charAt(at);
        if (unit != ' ' && unit != '\t' && unit != '\n' && unit != '\r') return;
        at++;
      }
    }

    private Object value() throws NotJson {
      char unit = peek();
      if (unit == '"') return string();
      if (unit == '[' || unit == '{') {
        if (++depth > DEEPEST) throw new NotJson("nested too deeply");
        Object out = unit == '[' ? array() : object();
        depth--;
        return out;
      }
      if (text.startsWith("null", at)) return word("null", null);
      if (text.startsWith("true", at)) return word("true", Boolean.TRUE);
      if (text.startsWith("false", at)) return word("false", Boolean.FALSE);
      for (String word : new String[] {"NaN", "-Infinity", "Infinity"}) {
        if (text.startsWith(word, at)) throw new NotJson(word + " is not JSON");
      }
      return number();
    }

    private Object word(String word, Object value) {
      at += word.length();
      return value;
    }

    private boolean digit(int place) {
      return place < text.length() && text.charAt(place) >= '0' && text.charAt(place) <= '9';
    }

    private int digits(int place) {
      while (digit(place)) place++;
      return place;
    }

    private Object number() throws NotJson {
      int start = at;
      int end = peek() == '-' ? at + 1 : at;
      if (!digit(end)) throw not("Expecting value", at);
      end = text.charAt(end) == '0' ? end + 1 : digits(end);
      boolean integer = true;
      if (end < text.length() && text.charAt(end) == '.' && digit(end + 1)) {
        end = digits(end + 1);
        integer = false;
      }
      if (end < text.length() && (text.charAt(end) == 'e' || text.charAt(end) == 'E')) {
        int power = end + 1;
        if (power < text.length() && (text.charAt(power) == '+' || text.charAt(power) == '-')) power++;
        if (digit(power)) {
          end = digits(power);
          integer = false;
        }
      }
      at = end;
      String token = text.substring(start, end);
      if (integer) {
        if (token.length() <= 18) return Long.valueOf(token);
        // Past 400 characters the value is beyond binary64 and beyond every dtype.
        if (token.length() >= 400) return new Literal(Double.parseDouble(token), token);
        return Numbers.integer(new BigInteger(token));
      }
      double value = Double.parseDouble(token);
      if (!Numbers.integral(value) && Numbers.finite(value)) return value;
      return new Literal(value, exact && Math.abs(value) >= 9007199254740992.0 && Numbers.finite(value) ? token : null);
    }

    private List<Object> array() throws NotJson {
      List<Object> out = new ArrayList<>();
      at++;
      blanks();
      if (peek() == ']') {
        at++;
        return out;
      }
      for (;;) {
        out.add(value());
        blanks();
        char unit = peek();
        if (unit == ']') {
          at++;
          return out;
        }
        if (unit != ',') throw not("Expecting ',' delimiter", at);
        at++;
        blanks();
      }
    }

    private Map<String, Object> object() throws NotJson {
      Map<String, Object> out = new LinkedHashMap<>();
      at++;
      blanks();
      if (peek() == '}') {
        at++;
        return out;
      }
      for (;;) {
        if (peek() != '"') throw not("Expecting property name enclosed in double quotes", at);
        String name = string();
        blanks();
        if (peek() != ':') throw not("Expecting ':' delimiter", at);
        at++;
        blanks();
        out.put(name, value());
        blanks();
        char unit = peek();
        if (unit == '}') {
          at++;
          return out;
        }
        if (unit != ',') throw not("Expecting ',' delimiter", at);
        at++;
        blanks();
      }
    }

    private String string() throws NotJson {
      int begin = at++;
      StringBuilder out = new StringBuilder();
      for (;;) {
        int from = at;
        while (at < text.length() && text.charAt(at) != '"' && text.charAt(at) != '\\' && text.charAt(at) >= 0x20) at++;
        out.append(text, from, at);
        if (at >= text.length()) throw not("Unterminated string starting at", begin);
        char unit = text.charAt(at);
        if (unit == '"') {
          at++;
          return out.toString();
        }
        if (unit != '\\') throw not("Invalid control character at", at);
        if (at + 1 >= text.length()) throw not("Unterminated string starting at", begin);
        char kind = text.charAt(at + 1);
        if (kind == 'u') {
          int value = hexadecimal(at + 2);
          // As the server has it: where the text ends behind the digits, it is they that are too few.
          if (value < 0 || at + 6 >= text.length()) throw not("Invalid \\uXXXX escape", at + 1);
          out.append((char) value);
          at += 6;
        } else {
          int which = "\"\\/bfnrt".indexOf(kind);
          if (which < 0) throw not("Invalid \\escape", at);
          out.append("\"\\/\b\f\n\r\t".charAt(which));
          at += 2;
        }
      }
    }

    private int hexadecimal(int from) {
      if (from + 4 > text.length()) return -1;
      int out = 0;
      for (int place = from; place < from + 4; place++) {
        char unit = text.charAt(place);
        int digit = unit < 0x80 ? Character.digit(unit, 16) : -1;
        if (digit < 0) return -1;
        out = out * 16 + digit;
      }
      return out;
    }
  }
}
