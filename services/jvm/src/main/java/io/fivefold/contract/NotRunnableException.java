package io.fivefold.contract;

/**
 * A whole bundle whose model, or whose texts, ONNX Runtime for Java cannot take or give; the path is the file inside
 * it.
 */
public final class NotRunnableException extends FivefoldException {
  private static final long serialVersionUID = 1L;

  public NotRunnableException(String message, String path) {
    super("bundle_invalid", message, path, null);
  }
}
