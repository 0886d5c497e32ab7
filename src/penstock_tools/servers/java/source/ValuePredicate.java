package penstock.source;

import de.bwaldvogel.mongo.backend.Missing;
import de.bwaldvogel.mongo.bson.BsonRegularExpression;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.bson.MaxKey;
import de.bwaldvogel.mongo.bson.MinKey;
import java.util.List;
import java.util.function.IntPredicate;

/** What one operator of a filter asks of one value. */
interface ValuePredicate {
  boolean test(Object value, Query.Match match);

  /** Whether an array passes when one of its elements does. */
  default boolean looksIntoArrays() {
    return true;
  }

  /** One that asks about the array itself. */
  interface OfArray extends ValuePredicate {
    @Override
    default boolean looksIntoArrays() {
      return false;
    }
  }

  static boolean isOperators(Object value) {
    if (!(value instanceof Document document) || document.isEmpty()) {
      return false;
    }
    String first = document.keySet().iterator().next();
    return first.startsWith("$") && !first.equals("$ref") && !first.equals("$id") && !first.equals("$db");
  }

  static ValuePredicate of(String name, Object argument, Document siblings) {
    return switch (name) {
      case "$eq" -> equal(argument);
      case "$in" -> in(argument);
      case "$gt" -> comparison(argument, difference -> difference > 0, false);
      case "$gte" -> comparison(argument, difference -> difference >= 0, true);
      case "$lt" -> comparison(argument, difference -> difference < 0, false);
      case "$lte" -> comparison(argument, difference -> difference <= 0, true);
      case "$type" -> type(argument);
      case "$regex" -> regex(argument, siblings.get("$options"));
      case "$size" -> size(argument);
      case "$mod" -> modulo(argument);
      case "$elemMatch" -> element(argument);
      default -> throw new CommandError(CommandError.BAD_VALUE, "unknown operator: " + name);
    };
  }

  static ValuePredicate equal(Object wanted) {
    if (wanted instanceof BsonRegularExpression expression) {
      ValuePredicate found = regex(expression, null);
      return (value, match) -> found.test(value, match) || BsonOrder.same(value, wanted);
    }
    Object known = wanted instanceof RawDocument raw ? raw.decoded() : wanted;
    return (value, match) -> BsonOrder.same(value, known);
  }

  static ValuePredicate in(Object argument) {
    if (!(argument instanceof List<?> wanted)) {
      throw new CommandError(CommandError.BAD_VALUE, "$in needs an array");
    }
    java.util.TreeSet<Object> values = new java.util.TreeSet<>(BsonOrder.ASCENDING);
    List<ValuePredicate> expressions = new java.util.ArrayList<>();
    for (Object value : wanted) {
      values.add(BsonOrder.key(value));
      if (value instanceof BsonRegularExpression) {
        expressions.add(equal(value));
      }
    }
    return (value, match) -> values.contains(BsonOrder.key(value))
        || expressions.stream().anyMatch(test -> test.test(value, match));
  }

  static ValuePredicate exists() {
    return (OfArray) (value, match) -> !(value instanceof Missing);
  }

  /** A value is only compared with values of its own bracket, and NaN only equals NaN. */
  private static ValuePredicate comparison(Object wanted, IntPredicate holds, boolean orEqual) {
    int bracket = BsonOrder.bracket(wanted);
    if (wanted instanceof MinKey || wanted instanceof MaxKey) {
      return (value, match) -> holds.test(BsonOrder.ASCENDING.compare(value, wanted));
    }
    return (value, match) -> {
      if (BsonOrder.bracket(value) != bracket) {
        return false;
      }
      if (BsonOrder.isNaN(value) || BsonOrder.isNaN(wanted)) {
        return orEqual && BsonOrder.isNaN(value) && BsonOrder.isNaN(wanted);
      }
      return holds.test(BsonOrder.ASCENDING.compare(value, wanted));
    };
  }

  private static ValuePredicate type(Object argument) {
    List<Integer> numbers = Types.named(argument);
    return (value, match) -> numbers.contains(Types.bsonType(value)) && !(value instanceof Missing);
  }

  private static ValuePredicate regex(Object pattern, Object options) {
    BsonRegularExpression expression = pattern instanceof BsonRegularExpression given && options == null
        ? given
        : new BsonRegularExpression(
            pattern instanceof BsonRegularExpression given ? given.getPattern() : String.valueOf(pattern),
            options == null ? "" : String.valueOf(options));
    return (value, match) -> value instanceof String text && expression.matcher(text).find();
  }

  private static ValuePredicate size(Object argument) {
    if (!(argument instanceof Number wanted)) {
      throw new CommandError(CommandError.BAD_VALUE, "$size needs a number");
    }
    return (OfArray) (value, match) -> value instanceof List<?> list && list.size() == wanted.doubleValue();
  }

  private static ValuePredicate modulo(Object argument) {
    if (!(argument instanceof List<?> pair) || pair.size() != 2) {
      throw new CommandError(CommandError.BAD_VALUE, "malformed mod, needs to be an array of two numbers");
    }
    long divisor = ((Number) pair.get(0)).longValue();
    long rest = ((Number) pair.get(1)).longValue();
    return (value, match) -> value instanceof Number number && number.longValue() % divisor == rest;
  }

  private static ValuePredicate element(Object argument) {
    Document wanted = Query.asDocument(argument, "$elemMatch");
    String first = wanted.isEmpty() ? "" : wanted.keySet().iterator().next();
    boolean ofValues = isOperators(wanted) && !List.of("$and", "$or", "$nor").contains(first);
    Query query = Query.of(ofValues ? new Document("value", wanted) : wanted);
    return (OfArray) (value, match) -> {
      if (!(value instanceof List<?> list)) {
        return false;
      }
      for (int i = 0; i < list.size(); i++) {
        Object element = list.get(i);
        boolean found = ofValues ? query.matches(new Document("value", element))
            : element instanceof Document document && query.matches(document);
        if (found) {
          match.arrayPosition = i;
          return true;
        }
      }
      return false;
    };
  }
}
