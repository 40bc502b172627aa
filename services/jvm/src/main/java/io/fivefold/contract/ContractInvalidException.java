package io.fivefold.contract;

/** A contract.json that is none, or that cannot be enforced; the path points into it. */
public final class ContractInvalidException extends FivefoldException {
  private static final long serialVersionUID = 1L;

  ContractInvalidException(String message, String path, String help) {
    super("contract_invalid", message, path, help);
  }

  ContractInvalidException(String message, String path) {
    this(message, path, null);
  }
}
