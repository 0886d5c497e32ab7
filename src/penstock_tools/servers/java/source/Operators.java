package penstock.source;

import de.bwaldvogel.mongo.backend.Missing;
import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Set;

/** What each update operator makes of a field's value. */
final class Operators {
  private static final Set<String> KNOWN = Set.of(
      "$set", "$unset", "$rename", "$setOnInsert", "$inc", "$mul", "$min", "$max", "$bit", "$currentDate", "$push",
      "$addToSet", "$pop", "$pull", "$pullAll");

  /** A field as an operator finds it; the id is for messages. */
  record Field(String name, Object value, Object documentId) {
    boolean isMissing() {
      return value instanceof Missing;
    }
  }

  private Operators() {}

  static boolean isKnown(String operator) {
    return KNOWN.contains(operator);
  }

  /** Whether two values are the same in type and content, so that writing one over the other changes nothing. */
  static boolean identical(Object one, Object other) {
    return Types.bsonType(one) == Types.bsonType(other)
        && Arrays.equals(BsonWriter.encode(new Document("", one)), BsonWriter.encode(new Document("", other)));
  }

  /** The field's new value; Missing when the operator leaves the field alone. */
  static Object result(String operator, Object argument, Field field) {
    return switch (operator) {
      case "$set" -> argument;
      case "$inc", "$mul" -> arithmetic(operator, argument, field);
      case "$min" -> field.isMissing() || BsonOrder.ASCENDING.compare(argument, field.value()) < 0 ? argument
          : Missing.getInstance();
      case "$max" -> field.isMissing() || BsonOrder.ASCENDING.compare(argument, field.value()) > 0 ? argument
          : Missing.getInstance();
      case "$bit" -> bits(argument, field);
      case "$currentDate" -> currentDate(argument);
      case "$push" -> push(argument, field);
      case "$addToSet" -> addToSet(argument, field);
      case "$pop" -> pop(argument, field);
      case "$pull" -> pull(argument, field);
      case "$pullAll" -> pullAll(argument, field);
      default -> throw new CommandError(CommandError.FAILED_TO_PARSE, "Unknown modifier: " + operator);
    };
  }

  /** From which element on the change event lists single elements; -1 when it shows the whole value. */
  static int appendedFrom(String operator, Object argument, Object old) {
    boolean plainPush = operator.equals("$push") && (each(argument) == null || ((Document) argument).size() == 1);
    return plainPush && old instanceof List<?> list ? list.size() : -1;
  }

  private static Object arithmetic(String operator, Object argument, Field field) {
    if (!(argument instanceof Number operand)) {
      throw new CommandError(
          CommandError.TYPE_MISMATCH,
          "Cannot %s with non-numeric argument: {%s: %s}"
              .formatted(operator.equals("$inc") ? "increment" : "multiply", field.name(), Types.text(argument)));
    }
    if (field.isMissing()) {
      return operator.equals("$inc") ? operand : Arithmetic.multiply(operand, 0);
    }
    if (!(field.value() instanceof Number number)) {
      throw new CommandError(
          CommandError.TYPE_MISMATCH,
          "Cannot apply %s to a value of non-numeric type. {_id: %s} has the field '%s' of non-numeric type %s"
              .formatted(operator, Types.text(field.documentId()), field.name(), Types.alias(field.value())));
    }
    return operator.equals("$inc") ? Arithmetic.add(number, operand) : Arithmetic.multiply(number, operand);
  }

  private static Object bits(Object argument, Field field) {
    Object value = field.isMissing() ? 0 : field.value();
    if (!(argument instanceof Document operations) || !(value instanceof Integer || value instanceof Long)) {
      throw new CommandError(CommandError.BAD_VALUE, "Cannot apply $bit to a value of non-integral type");
    }
    long result = ((Number) value).longValue();
    boolean wide = value instanceof Long;
    for (String operation : operations.keySet()) {
      Number operand = (Number) operations.get(operation);
      wide |= operand instanceof Long;
      result = switch (operation) {
        case "and" -> result & operand.longValue();
        case "or" -> result | operand.longValue();
        case "xor" -> result ^ operand.longValue();
        default ->
          throw new CommandError(CommandError.BAD_VALUE, "The $bit modifier only supports 'and', 'or', and 'xor'");
      };
    }
    return wide ? (Object) result : (Object) (int) result;
  }

  private static Object currentDate(Object argument) {
    boolean timestamp = argument instanceof Document type && "timestamp".equals(type.get("$type"));
    return timestamp ? new BsonTimestamp(Instant.now(), 1) : Instant.ofEpochMilli(System.currentTimeMillis());
  }

  private static List<Object> list(String operator, Field field) {
    if (field.value() instanceof List<?> list) {
      return new ArrayList<>(list);
    }
    String message = operator.equals("$push")
        ? "The field '%s' must be an array but is of type %s in document {_id: %s}"
            .formatted(field.name(), Types.alias(field.value()), Types.text(field.documentId()))
        : "Cannot apply %s to a non-array value".formatted(operator);
    throw new CommandError(CommandError.BAD_VALUE, message);
  }

  /** The values under `$each`, or null where the operator has a single one. */
  private static List<?> each(Object argument) {
    return argument instanceof Document document && document.get("$each") instanceof List<?> values ? values : null;
  }

  private static Object push(Object argument, Field field) {
    List<?> added = each(argument);
    List<Object> list = field.isMissing() ? new ArrayList<>() : list("$push", field);
    if (added == null) {
      list.add(argument);
      return list;
    }
    Document modifiers = (Document) argument;
    int position = modifiers.get("$position") instanceof Number given ? given.intValue() : list.size();
    position = position < 0 ? Math.max(0, list.size() + position) : Math.min(position, list.size());
    list.addAll(position, added);
    if (modifiers.containsKey("$sort")) {
      list.sort(order(modifiers.get("$sort")));
    }
    return modifiers.get("$slice") instanceof Number slice ? sliced(list, slice.intValue()) : list;
  }

  private static Comparator<Object> order(Object sort) {
    if (sort instanceof Document fields) {
      SortOrder order = SortOrder.of(fields);
      return (one, other) -> order.compare((Document) one, (Document) other);
    }
    return ((Number) sort).intValue() < 0 ? BsonOrder.ASCENDING.reversed() : BsonOrder.ASCENDING;
  }

  private static List<Object> sliced(List<Object> list, int slice) {
    int from = slice < 0 ? Math.max(0, list.size() + slice) : 0;
    int to = slice < 0 ? list.size() : Math.min(slice, list.size());
    return new ArrayList<>(list.subList(from, to));
  }

  private static Object addToSet(Object argument, Field field) {
    List<Object> list = field.isMissing() ? new ArrayList<>() : list("$addToSet", field);
    List<?> wanted = each(argument) == null ? Arrays.asList(argument) : each(argument);
    for (Object value : wanted) {
      if (list.stream().noneMatch(present -> BsonOrder.same(present, value))) {
        list.add(value);
      }
    }
    return list;
  }

  private static Object pop(Object argument, Field field) {
    if (field.isMissing()) {
      return field.value();
    }
    List<Object> list = list("$pop", field);
    if (!list.isEmpty()) {
      list.remove(((Number) argument).intValue() < 0 ? 0 : list.size() - 1);
    }
    return list;
  }

  private static Object pull(Object argument, Field field) {
    if (field.isMissing()) {
      return field.value();
    }
    List<Object> list = list("$pull", field);
    boolean ofFields = argument instanceof Document && !ValuePredicate.isOperators(argument);
    Query query = Query.of(ofFields ? (Document) argument : new Document("value", argument));
    list.removeIf(
        element -> ofFields ? element instanceof Document document && query.matches(document)
            : query.matches(new Document("value", element)));
    return list;
  }

  private static Object pullAll(Object argument, Field field) {
    if (field.isMissing()) {
      return field.value();
    }
    List<Object> list = list("$pullAll", field);
    List<?> unwanted = (List<?>) argument;
    list.removeIf(element -> unwanted.stream().anyMatch(value -> BsonOrder.same(element, value)));
    return list;
  }
}
