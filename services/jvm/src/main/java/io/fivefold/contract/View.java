package io.fivefold.contract;

import java.util.Collections;
import java.util.List;

/** How a model looks to callers of a contract version: what they send, what they get, and the way between. */
public final class View {
  private final Contract contract;
  private final Adapter adapter;

  View(Contract contract, Adapter adapter) {
    this.contract = contract;
    this.adapter = adapter;
  }

  /** What callers send and get. */
  public Contract contract() {
    return contract;
  }

  /** {@code NAME@VERSION} of the contract. */
  public String name() {
    return contract.name() + "@" + contract.version();
  }

  /** Inputs of this version that the model does not take. */
  public List<String> ignored() {
    return adapter == null ? Collections.<String>emptyList() : adapter.ignored();
  }

  /** The caller's inputs as the model's own. */
  public Columns into(Columns columns) {
    return adapter == null ? columns : adapter.into(columns);
  }

  /** The model's outputs as the caller's; throws {@link ModelFailedException} where added labels leave its bounds. */
  public Columns back(Columns columns) {
    return adapter == null ? columns : adapter.back(columns);
  }
}
