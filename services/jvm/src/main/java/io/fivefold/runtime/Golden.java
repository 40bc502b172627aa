package io.fivefold.runtime;

import io.fivefold.contract.BundleInvalidException;
import io.fivefold.contract.Column;
import io.fivefold.contract.Columns;
import io.fivefold.contract.ContractException;
import io.fivefold.contract.Dtype;
import io.fivefold.contract.ExactJson;
import io.fivefold.contract.Field;
import io.fivefold.contract.FivefoldException;
import io.fivefold.contract.Kind;
import io.fivefold.contract.ModelFailedException;
import io.fivefold.contract.NotRunnableException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;

/** Golden rows: what the packed model answered, against which every runtime proves itself. */
final class Golden {
  private final List<Map<?, ?>> given = new ArrayList<>();
  private final List<Map<?, ?>> answers = new ArrayList<>();
  private final double tolerance;
  private double largest;

  /** The rows of golden.jsonl. */
  Golden(Bundle bundle) {
    tolerance = bundle.manifest.tolerance;
    String text = bundle.text(Bundle.GOLDEN);
    if (!text.endsWith("\n")) throw refused("expected lines, each ended");
    for (String line : text.substring(0, text.length() - 1).split("\n", -1)) {
      Object row;
      try {
        row = ExactJson.parse(line);
      } catch (ContractException error) {
        throw refused("row " + given.size() + ": " + error.getMessage());
      }
      Object in = row instanceof Map ? ((Map<?, ?>) row).get("in") : null;
      Object out = row instanceof Map ? ((Map<?, ?>) row).get("out") : null;
      if (!(in instanceof Map) || !(out instanceof Map) || ((Map<?, ?>) row).size() != 2) {
        throw refused("row " + given.size() + ": expected {\"in\": record, \"out\": record}");
      }
      given.add((Map<?, ?>) in);
      answers.add((Map<?, ?>) out);
    }
  }

  /**
   * Score the rows together, and the first one alone; gives the largest difference of any float. Throws
   * {@link NotRunnableException} where texts of theirs cannot pass, {@link BundleInvalidException} for an answer beyond
   * the tolerance: floats {@code tolerance * max(1, |expected|)}.
   */
  double prove(Scorer scorer) {
    for (List<Map<?, ?>> some : Arrays.asList(given, given.subList(0, 1))) {
      Columns got;
      try {
        got = scorer.score(scorer.bundle().contract().read(some));
      } catch (ModelFailedException error) {
        if (Texts.passable(given) && Texts.passable(answers)) throw unscored(error);
        throw new NotRunnableException("the golden rows: " + error.getMessage(), Bundle.GOLDEN);
      } catch (FivefoldException error) {
        throw unscored(error);
      }
      for (int row = 0; row < some.size(); row++) {
        for (Field field : got.fields()) compare(field, got.column(field.name()), row);
      }
    }
    return largest;
  }

  private static BundleInvalidException unscored(FivefoldException error) {
    String where = error.path().isEmpty() ? "" : error.path() + ": ";
    return refused("the golden rows cannot be scored: " + where + error.getMessage());
  }

  private void compare(Field field, Column column, int row) {
    List<Object> expected = new ArrayList<>();
    flatten(answers.get(row).get(field.name()), expected);
    int size = 1;
    for (int each : field.shape()) size *= each;
    if (expected.size() != size) throw differs(row, field, size + " values", expected.size() + " recorded");
    for (int element = 0; element < size; element++) {
      int at = row * size + element;
      Object wanted = expected.get(element);
      Object got = column.isNull(at) ? null : column.value(at);
      boolean same = field.dtype().kind() == Kind.FLOAT ? near(field, got, wanted) : equal(got, wanted);
      if (!same) throw differs(row, field, ExactJson.shown(wanted), ExactJson.shown(got));
    }
  }

  private static void flatten(Object value, List<Object> out) {
    if (value instanceof List) for (Object each : (List<?>) value) flatten(each, out);
    else out.add(value);
  }

  private boolean near(Field field, Object got, Object wanted) {
    double left = got == null ? Double.NaN : (Double) got;
    double right = ExactJson.binary64(wanted);
    if (field.dtype() != Dtype.FLOAT64) right = (float) right;
    if (left == right || Double.isNaN(left) && Double.isNaN(right)) return true;
    double apart = Math.abs(left - right);
    if (!Double.isNaN(apart) && !Double.isInfinite(apart)) largest = Math.max(largest, apart);
    return apart <= tolerance * Math.max(1, Math.abs(right));
  }

  private static boolean equal(Object got, Object wanted) {
    if (got == null || wanted == null) return got == wanted;
    if (got instanceof byte[]) return Base64.getEncoder().encodeToString((byte[]) got).equals(wanted);
    return got instanceof Number ? ExactJson.isInteger(wanted, (Number) got) : got.equals(wanted);
  }

  private BundleInvalidException differs(int row, Field field, String wanted, String got) {
    String within = field.dtype().kind() == Kind.FLOAT ? " within " + tolerance : "";
    String message = "row " + row + ", outputs." + field.name() + within + ": expected " + wanted + ", got " + got;
    String help = "this device gives other answers than the packed model did";
    return new BundleInvalidException(message, Bundle.GOLDEN, help);
  }

  private static BundleInvalidException refused(String message) {
    return new BundleInvalidException(message, Bundle.GOLDEN, null);
  }
}
