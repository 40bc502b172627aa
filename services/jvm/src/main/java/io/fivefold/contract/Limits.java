package io.fivefold.contract;

/** How much one body may hold. */
public final class Limits {
  /** Rows of one request, as the server's default. */
  public static final int MAX_ROWS = 10_000;
  /** Deeper than any legal value: a field has at most eight dimensions. */
  public static final int MAX_DEPTH = 64;

  /** No limit of rows, the usual depth. */
  public static final Limits NONE = new Limits(Integer.MAX_VALUE, MAX_DEPTH);

  final int maxRows;
  final int maxDepth;

  public Limits(int maxRows, int maxDepth) {
    this.maxRows = maxRows;
    this.maxDepth = maxDepth;
  }
}
