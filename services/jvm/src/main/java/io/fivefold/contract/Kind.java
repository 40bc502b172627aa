package io.fivefold.contract;

/** The family of a dtype: values never convert between families, except integers into floats. */
public enum Kind {
  BOOL,
  INT,
  FLOAT,
  STRING,
  BYTES
}
