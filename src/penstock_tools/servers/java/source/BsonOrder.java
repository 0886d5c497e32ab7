package penstock.source;

import de.bwaldvogel.mongo.backend.Missing;
import de.bwaldvogel.mongo.bson.BsonJavaScript;
import de.bwaldvogel.mongo.bson.BsonRegularExpression;
import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Decimal128;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.bson.ObjectId;
import java.math.BigDecimal;
import java.time.Instant;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** The order of all BSON values, in which collections are sorted: first by bracket, then within it. */
final class BsonOrder implements Comparator<Object> {
  static final BsonOrder ASCENDING = new BsonOrder();

  private static final int NULL_BRACKET = 5;
  private static final int NUMBER_BRACKET = 10;
  private static final int[] BRACKETS = new int[256];

  static {
    int[][] typesAndBrackets = {
      {Types.MIN_KEY, 0}, {0, NULL_BRACKET}, {6, NULL_BRACKET}, {10, NULL_BRACKET},
      {1, NUMBER_BRACKET}, {16, NUMBER_BRACKET}, {18, NUMBER_BRACKET}, {19, NUMBER_BRACKET},
      {2, 15}, {14, 15}, {3, 20}, {4, 25}, {5, 30}, {7, 35}, {8, 40}, {9, 45}, {17, 47}, {11, 50}, {12, 55},
      {13, 60}, {15, 65}, {Types.MAX_KEY, 127}
    };
    for (int[] pair : typesAndBrackets) {
      BRACKETS[pair[0] & 0xFF] = pair[1];
    }
  }

  private static final long EXACT_IN_DOUBLE = 1L << 53;

  /** A place before or after every value of one bracket; it can be a bound of a range, never a value. */
  record Edge(int bracket, boolean after) {}

  private BsonOrder() {}

  /** The comparison bracket: values of different brackets never match each other's `$gt` or `$lt`. */
  static int bracket(Object value) {
    return BRACKETS[Types.bsonType(value) & 0xFF];
  }

  static boolean same(Object one, Object other) {
    return ASCENDING.compare(one, other) == 0;
  }

  static boolean isNaN(Object value) {
    return value instanceof Number number && Double.isNaN(asDouble(number));
  }

  @Override
  public int compare(Object one, Object other) {
    if (one instanceof Edge || other instanceof Edge) {
      return compareEdges(one, other);
    }
    int bracket = bracket(one);
    int difference = Integer.compare(bracket, bracket(other));
    return difference != 0 ? difference : within(bracket, one, other);
  }

  private static int compareEdges(Object one, Object other) {
    int first = one instanceof Edge edge ? edge.bracket() * 4 + (edge.after() ? 2 : 0) : bracket(one) * 4 + 1;
    int second = other instanceof Edge edge ? edge.bracket() * 4 + (edge.after() ? 2 : 0) : bracket(other) * 4 + 1;
    return Integer.compare(first, second);
  }

  private int within(int bracket, Object one, Object other) {
    return switch (bracket) {
      case NUMBER_BRACKET -> compareNumbers((Number) one, (Number) other);
      case 15 -> Text.compare(text(one), text(other));
      case 20 -> compareDocuments(document(one), document(other));
      case 25 -> compareArrays((List<?>) one, (List<?>) other);
      case 30 -> compareBinary(binary(one), binary(other));
      case 35 -> ((ObjectId) one).compareTo((ObjectId) other);
      case 40 -> Boolean.compare((Boolean) one, (Boolean) other);
      case 45 -> ((Instant) one).compareTo((Instant) other);
      case 47 -> ((BsonTimestamp) one).compareTo((BsonTimestamp) other);
      case 50 -> Text.compare(regex(one), regex(other));
      case 55, 65 -> Arrays.compareUnsigned(((Opaque) one).payload(), ((Opaque) other).payload());
      case 60 -> Text.compare(((BsonJavaScript) one).getCode(), ((BsonJavaScript) other).getCode());
      default -> 0;
    };
  }

  private static String text(Object value) {
    return value instanceof Opaque symbol ? new BsonReader(symbol.payload(), 0).string() : (String) value;
  }

  private static String regex(Object value) {
    BsonRegularExpression regex = (BsonRegularExpression) value;
    return regex.getPattern() + '\0' + regex.getOptions();
  }

  private static Document document(Object value) {
    return value instanceof RawDocument raw ? raw.decoded() : (Document) value;
  }

  private static Binary binary(Object value) {
    return value instanceof UUID uuid ? Binary.of(uuid) : (Binary) value;
  }

  /** Numbers of all four types are one bracket; NaN comes before all others. */
  private static int compareNumbers(Number one, Number other) {
    if (one instanceof Integer first && other instanceof Integer second) {
      return Integer.compare(first, second);
    }
    if (isWhole(one) && isWhole(other)) {
      return Long.compare(one.longValue(), other.longValue());
    }
    double first = asDouble(one);
    double second = asDouble(other);
    if (Double.isNaN(first) || Double.isNaN(second)) {
      return Boolean.compare(Double.isNaN(second), Double.isNaN(first));
    }
    if (Double.isInfinite(first) || Double.isInfinite(second) || isSmall(one) && isSmall(other)) {
      return first == second ? 0 : Double.compare(first, second);
    }
    return exact(one).compareTo(exact(other));
  }

  private static boolean isWhole(Number number) {
    return number instanceof Integer || number instanceof Long;
  }

  private static boolean isSmall(Number number) {
    return number instanceof Double || isWhole(number) && Math.abs(number.longValue()) < EXACT_IN_DOUBLE;
  }

  private static BigDecimal exact(Number number) {
    return switch (number) {
      case Decimal128 decimal -> decimal.toBigDecimal();
      case Double real -> new BigDecimal(real);
      default -> BigDecimal.valueOf(number.longValue());
    };
  }

  /** A decimal beyond the doubles is not infinite, so infinity is only what says so. */
  private static double asDouble(Number number) {
    if (!(number instanceof Decimal128 decimal)) {
      return number.doubleValue();
    }
    return switch (decimal.toString()) {
      case "NaN" -> Double.NaN;
      case "Infinity" -> Double.POSITIVE_INFINITY;
      case "-Infinity" -> Double.NEGATIVE_INFINITY;
      default -> 0;
    };
  }

  private static int compareBinary(Binary one, Binary other) {
    int difference = Integer.compare(one.data().length, other.data().length);
    if (difference == 0) {
      difference = Integer.compare(one.subtype() & 0xFF, other.subtype() & 0xFF);
    }
    return difference != 0 ? difference : Arrays.compareUnsigned(one.data(), other.data());
  }

  private int compareDocuments(Document one, Document other) {
    Iterator<Map.Entry<String, Object>> first = one.entrySet().iterator();
    Iterator<Map.Entry<String, Object>> second = other.entrySet().iterator();
    while (first.hasNext() && second.hasNext()) {
      int difference = compareFields(first.next(), second.next());
      if (difference != 0) {
        return difference;
      }
    }
    return Boolean.compare(first.hasNext(), second.hasNext());
  }

  private int compareFields(Map.Entry<String, Object> one, Map.Entry<String, Object> other) {
    int difference = Integer.compare(bracket(one.getValue()), bracket(other.getValue()));
    if (difference == 0) {
      difference = Text.compare(one.getKey(), other.getKey());
    }
    return difference != 0 ? difference : compare(one.getValue(), other.getValue());
  }

  private int compareArrays(List<?> one, List<?> other) {
    for (int i = 0; i < Math.min(one.size(), other.size()); i++) {
      int difference = compare(one.get(i), other.get(i));
      if (difference != 0) {
        return difference;
      }
    }
    return Integer.compare(one.size(), other.size());
  }

  /** The key under which a value sorts: null itself cannot be a key of a Java map. */
  static Object key(Object value) {
    return value == null ? Missing.getInstance() : value;
  }
}
