package io.fivefold.contract;

import java.util.Collections;
import java.util.List;
import java.util.Map;

/**
 * The typed contract: two ordered lists of fields, the reader of bodies under its inputs, the check of a model's answer
 * under its outputs. It keeps no state, so that threads may share it.
 */
public final class Contract {
  private final String name;
  private final String version;
  private final String description;
  private final List<Field> inputs;
  private final List<Field> outputs;
  private final Records records;

  Contract(String name, String version, String description, List<Field> inputs, List<Field> outputs) {
    this.name = name;
    this.version = version;
    this.description = description;
    this.inputs = Collections.unmodifiableList(inputs);
    this.outputs = Collections.unmodifiableList(outputs);
    records = new Records(this.inputs);
  }

  /**
   * Read contract.json; throws {@link ContractInvalidException} with the JSON path of the first thing that is wrong.
   */
  public static Contract parse(byte[] text) {
    return ContractParser.parse(text);
  }

  public String name() {
    return name;
  }

  public String version() {
    return version;
  }

  /** What it is about, or null. */
  public String description() {
    return description;
  }

  public List<Field> inputs() {
    return inputs;
  }

  public List<Field> outputs() {
    return outputs;
  }

  /** The columns of a V1 body, {@code {"instances": […]}}; throws {@link ContractException}. */
  public Columns read(String body) {
    return read(body, Limits.NONE).columns();
  }

  /** A V1 body; throws {@link ContractException}. */
  public Request read(String body, Limits limits) {
    return records.readBody(body, limits);
  }

  /** A V1 body in UTF-8; throws {@link ContractException}. */
  public Request read(byte[] body, Limits limits) {
    return records.readBody(body, limits);
  }

  /** The columns of parsed records, one a row, as {@link ExactJson} gives them; throws {@link ContractException}. */
  public Columns read(List<?> rows) {
    return records.read(rows, Limits.NONE.maxRows);
  }

  /**
   * A model's answer, output by output, as columns; throws {@link ModelFailedException} where it leaves the contract.
   */
  public Columns checkOutputs(Map<String, ModelTensor> answer, int rows) {
    return Outputs.check(outputs, answer, rows);
  }
}
