package io.fivefold.runtime;

import io.fivefold.contract.Dtype;
import io.fivefold.contract.Field;
import io.fivefold.contract.ModelFailedException;
import io.fivefold.contract.NotRunnableException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/**
 * Texts that ONNX Runtime for Java would change are refused: it hands texts over in Java's own form of UTF-8, in which
 * U+0000 and what is above U+FFFF are other bytes than the model's. A model would take them for other texts, and its
 * own would come back cut (seen in 1.29.0).
 */
final class Texts {
  private Texts() {}

  /** Whether all texts of parsed JSON, member by member, pass unchanged. */
  static boolean passable(Object value) {
    if (value instanceof Map) return passable(new ArrayList<>(((Map<?, ?>) value).values()));
    if (value instanceof List) {
      for (Object each : (List<?>) value) if (!passable(each)) return false;
      return true;
    }
    String text = value instanceof String ? (String) value : "";
    for (int at = 0; at < text.length(); at++) {
      if (text.charAt(at) == 0 || Character.isSurrogate(text.charAt(at))) return false;
    }
    return true;
  }

  /** Refuse a text on its way to the model. */
  static String sent(String text, Supplier<String> path) {
    if (passable(text)) return text;
    String message = "a text with U+0000 or a character above U+FFFF reaches no model on a JVM";
    throw new ModelFailedException(message, path.get());
  }

  /** Refuse an output with a member that could not come back. */
  static void refuseMembers(Field field) {
    if (field.dtype() != Dtype.STRING) return;
    for (Object member : field.members()) {
      if (passable(member)) continue;
      String message = "a text with U+0000 or a character above U+FFFF, as a member of outputs." + field.name();
      throw new NotRunnableException(message + " is, comes from no model on a JVM", "contract.json");
    }
  }

  /**
   * Refuse an answer that may be what is left of a character above U+FFFF: its first byte, F0 to F4, as a character of
   * its own, and then another byte or the end.
   */
  static void refuseCut(String[] texts, String path) {
    for (String text : texts) {
      for (int at = 0; at < text.length(); at++) {
        if (text.charAt(at) < 0xf0 || text.charAt(at) > 0xf4) continue;
        if (at + 1 < text.length() && (text.charAt(at + 1) < 0x80 || text.charAt(at + 1) > 0xbf)) continue;
        String message = "the model's text may have had a character above U+FFFF, which reaches no program on a JVM";
        throw new ModelFailedException(message, path);
      }
    }
  }
}
