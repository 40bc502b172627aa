package io.fivefold.contract;

/** The model fails, or its answer leaves the contract's outputs. */
public final class ModelFailedException extends FivefoldException {
  private static final long serialVersionUID = 1L;

  public ModelFailedException(String message, String path) {
    super("model_failed", message, path, null);
  }
}
