package io.fivefold.contract;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * An error with a code, a path, a sentence and, where there is one, a line of help, as the server's.
 *
 * <pre>
 * FivefoldException
 *   ContractException         the caller's data breaks the contract
 *   ContractInvalidException  a contract.json that is none, or that cannot be enforced
 *   BundleInvalidException    a bundle that must not be used
 *   NotRunnableException      a whole bundle that ONNX Runtime for Java cannot run
 *   NotAdaptableException     no way between two versions of a contract
 *   ModelFailedException      the model fails, or its answer leaves the contract
 *   ProtocolException         contract_unsupported
 * </pre>
 */
public class FivefoldException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** How many violations an error carries. */
  static final int MAX_DETAILS = 16;
  /** Characters of a sentence, a path or a help line as they travel. */
  private static final int LONGEST = 2048;

  private final String code;
  private final String path;
  private final String help;
  private final transient List<Violation> details;

  protected FivefoldException(String code, String message, String path, String help, List<Violation> details) {
    super(message);
    this.code = code;
    this.path = path == null ? "" : path;
    this.help = help == null || help.isEmpty() ? null : help;
    List<Violation> some = details.subList(0, Math.min(details.size(), MAX_DETAILS));
    this.details = Collections.unmodifiableList(new ArrayList<>(some));
  }

  protected FivefoldException(String code, String message, String path, String help) {
    this(code, message, path, help, Collections.<Violation>emptyList());
  }

  public String code() {
    return code;
  }

  /** Where it is, empty for the whole. */
  public String path() {
    return path;
  }

  /** A way on, or null. */
  public String help() {
    return help;
  }

  /** The first sixteen violations, in the contract's order. */
  public List<Violation> details() {
    return details;
  }

  /** The error body that the server's answers have. */
  public String toJson() {
    StringBuilder out = new StringBuilder("{");
    put(out, "error", path.isEmpty() ? getMessage() : path + ": " + getMessage());
    put(out.append(','), "code", code);
    put(out.append(','), "path", path);
    if (help != null) put(out.append(','), "help", help);
    if (!details.isEmpty()) {
      out.append(",\"details\":[");
      String comma = "";
      for (Violation each : details) {
        put(out.append(comma).append('{'), "code", each.code());
        put(out.append(','), "path", each.path());
        put(out.append(','), "error", each.message());
        if (each.help() != null) put(out.append(','), "help", each.help());
        out.append('}');
        comma = ",";
      }
      out.append(']');
    }
    return out.append('}').toString();
  }

  private static void put(StringBuilder out, String name, String value) {
    String cut = Text.codePoints(value) <= LONGEST ? value : Text.firstPoints(value, LONGEST - 1) + "…";
    out.append(Text.json(name)).append(':').append(Text.json(cut));
  }
}
