package penstock.source;

import de.bwaldvogel.mongo.bson.Decimal128;
import java.math.BigDecimal;
import java.math.MathContext;

/** Adding and multiplying numbers of the four BSON types: the wider type wins, and int grows to long. */
final class Arithmetic {
  private Arithmetic() {}

  static Number add(Number one, Number other) {
    if (one instanceof Decimal128 || other instanceof Decimal128) {
      return new Decimal128(decimal(one).add(decimal(other), MathContext.DECIMAL128));
    }
    if (one instanceof Double || other instanceof Double) {
      return one.doubleValue() + other.doubleValue();
    }
    return narrowed(exactly(() -> Math.addExact(one.longValue(), other.longValue())), one, other);
  }

  static Number multiply(Number one, Number other) {
    if (one instanceof Decimal128 || other instanceof Decimal128) {
      return new Decimal128(decimal(one).multiply(decimal(other), MathContext.DECIMAL128));
    }
    if (one instanceof Double || other instanceof Double) {
      return one.doubleValue() * other.doubleValue();
    }
    return narrowed(exactly(() -> Math.multiplyExact(one.longValue(), other.longValue())), one, other);
  }

  private interface Operation {
    long run();
  }

  private static long exactly(Operation operation) {
    try {
      return operation.run();
    } catch (ArithmeticException e) {
      throw new CommandError(CommandError.BAD_VALUE,
          "Failed to apply an update operation: the result does not fit 64 bits");
    }
  }

  private static Number narrowed(long result, Number one, Number other) {
    boolean small = one instanceof Integer && other instanceof Integer && result == (int) result;
    return small ? (Number) (int) result : (Number) result;
  }

  private static BigDecimal decimal(Number number) {
    return number instanceof Decimal128 decimal ? decimal.toBigDecimal() : new BigDecimal(number.toString());
  }
}
