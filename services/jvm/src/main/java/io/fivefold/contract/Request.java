package io.fivefold.contract;

/** A body that was read: its columns, and whether it came by column, so that its answer goes by column. */
public final class Request {
  private final Columns columns;
  private final boolean byColumn;

  Request(Columns columns, boolean byColumn) {
    this.columns = columns;
    this.byColumn = byColumn;
  }

  public Columns columns() {
    return columns;
  }

  public boolean byColumn() {
    return byColumn;
  }
}
