package io.fivefold.contract;

import java.util.List;

/** The caller's data breaks the contract; {@link #details} has the ordered violations. */
public final class ContractException extends FivefoldException {
  private static final long serialVersionUID = 1L;

  public ContractException(String code, String message, String path, String help) {
    super(code, message, path, help);
  }

  private ContractException(Violation first, List<Violation> all) {
    super(first.code(), first.message(), first.path(), first.help(), all);
  }

  /** The error of violations in order, at least one: the first one speaks. */
  static ContractException of(List<Violation> violations) {
    return new ContractException(violations.get(0), violations);
  }

  static ContractException malformed(String message, String path) {
    return new ContractException("malformed", message, path, null);
  }
}
