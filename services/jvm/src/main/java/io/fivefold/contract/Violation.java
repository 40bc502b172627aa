package io.fivefold.contract;

/** One cell, or one whole request, that breaks the contract. */
public final class Violation {
  private final String code;
  private final String path;
  private final String message;
  private final String help;

  Violation(String code, String path, String message, String help) {
    this.code = code;
    this.path = path;
    this.message = message;
    this.help = help == null || help.isEmpty() ? null : help;
  }

  /** What is wrong, by the server's names: {@code out_of_range}, {@code missing_field}, … */
  public String code() {
    return code;
  }

  /** {@code inputs.field[row][i][j]}, row and elements left out where they do not apply. */
  public String path() {
    return path;
  }

  public String message() {
    return message;
  }

  /** A way on, or null. */
  public String help() {
    return help;
  }
}
