package io.fivefold.contract;

/** The request is not one that is answered: {@code contract_unsupported}. */
public final class ProtocolException extends FivefoldException {
  private static final long serialVersionUID = 1L;

  ProtocolException(String code, String message, String help) {
    super(code, message, "", help);
  }
}
