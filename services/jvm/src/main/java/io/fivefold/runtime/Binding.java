package io.fivefold.runtime;

import io.fivefold.contract.Dtype;
import java.util.List;

/** Which fields feed which input of the model, and which output answers which field. */
final class Binding {
  /** One input of the model and the fields that feed it; with {@code stack} it is [rows, fields]. */
  static final class Input {
    final String modelInput;
    final List<String> fields;
    final Dtype dtype;
    final boolean stack;
    /** What a model of text gets for null; null: what stands in the column. */
    final String none;

    Input(String modelInput, List<String> fields, Dtype dtype, boolean stack, String none) {
      this.modelInput = modelInput;
      this.fields = fields;
      this.dtype = dtype;
      this.stack = stack;
      this.none = none;
    }
  }

  /** The model output that answers a field; {@code column} picks one column of a 2-D output, -1: all of it. */
  static final class Output {
    final String field;
    final String modelOutput;
    final int column;

    Output(String field, String modelOutput, int column) {
      this.field = field;
      this.modelOutput = modelOutput;
      this.column = column;
    }
  }

  final List<Input> inputs;
  final List<Output> outputs;

  Binding(List<Input> inputs, List<Output> outputs) {
    this.inputs = inputs;
    this.outputs = outputs;
  }
}
