package io.fivefold.contract;

import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** An ordered mapping of field to values, always legal under its fields. The readers make them. */
public final class Columns {
  private final List<Field> fields;
  private final Map<String, Column> columns = new HashMap<>();
  private final int rows;

  Columns(List<Field> fields, List<Column> columns, int rows) {
    this.fields = Collections.unmodifiableList(fields);
    this.rows = rows;
    for (int index = 0; index < fields.size(); index++) this.columns.put(fields.get(index).name(), columns.get(index));
  }

  public List<Field> fields() {
    return fields;
  }

  public int rows() {
    return rows;
  }

  /** The column of a field, by its name. */
  public Column column(String name) {
    Column found = columns.get(name);
    if (found == null) throw new IllegalArgumentException("no column " + name);
    return found;
  }
}
