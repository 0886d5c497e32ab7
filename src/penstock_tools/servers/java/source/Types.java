package penstock.source;

import de.bwaldvogel.mongo.backend.Missing;
import de.bwaldvogel.mongo.bson.BsonJavaScript;
import de.bwaldvogel.mongo.bson.BsonRegularExpression;
import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Decimal128;
import de.bwaldvogel.mongo.bson.MaxKey;
import de.bwaldvogel.mongo.bson.MinKey;
import de.bwaldvogel.mongo.bson.ObjectId;
import java.time.Instant;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Collectors;

/** The BSON type of a value: its number, its alias, and how messages print it. */
final class Types {
  static final int MIN_KEY = -1;
  static final int MAX_KEY = 127;
  private static final Map<Integer, String> ALIASES = new HashMap<>();
  private static final Map<String, Integer> NUMBERS = new HashMap<>();

  static {
    String[] names = {
      "missing", "double", "string", "object", "array", "binData", "undefined", "objectId", "bool", "date", "null",
      "regex", "dbPointer", "javascript", "symbol", "javascriptWithScope", "int", "timestamp", "long", "decimal"
    };
    for (int number = 0; number < names.length; number++) {
      ALIASES.put(number, names[number]);
    }
    ALIASES.put(MIN_KEY, "minKey");
    ALIASES.put(MAX_KEY, "maxKey");
    ALIASES.forEach((number, name) -> NUMBERS.put(name, number));
  }

  private Types() {}

  /** The type's number in BSON; MinKey is -1, an absent value is 0. */
  static int bsonType(Object value) {
    return switch (value) {
      case null -> 10;
      case Missing ignored -> 0;
      case Double ignored -> 1;
      case String ignored -> 2;
      case Map<?, ?> ignored -> 3;
      case RawDocument ignored -> 3;
      case Collection<?> ignored -> 4;
      case Binary ignored -> 5;
      case UUID ignored -> 5;
      case ObjectId ignored -> 7;
      case Boolean ignored -> 8;
      case Instant ignored -> 9;
      case BsonRegularExpression ignored -> 11;
      case BsonJavaScript ignored -> 13;
      case Integer ignored -> 16;
      case BsonTimestamp ignored -> 17;
      case Long ignored -> 18;
      case Decimal128 ignored -> 19;
      case MinKey ignored -> MIN_KEY;
      case MaxKey ignored -> MAX_KEY;
      case Opaque opaque -> opaque.type();
      default -> throw new IllegalArgumentException("no BSON type for " + value.getClass());
    };
  }

  static String alias(Object value) {
    return ALIASES.get(bsonType(value));
  }

  /** The type numbers that a `$type` condition names. */
  static List<Integer> named(Object type) {
    if (type instanceof Collection<?> several) {
      return several.stream().flatMap(one -> named(one).stream()).toList();
    }
    if ("number".equals(type)) {
      return List.of(1, 16, 18, 19);
    }
    Integer number = type instanceof Number given ? (Integer) given.intValue() : NUMBERS.get(type);
    if (number == null || !ALIASES.containsKey(number)) {
      throw new CommandError(CommandError.BAD_VALUE, "Unknown type name alias: " + type);
    }
    return List.of(number);
  }

  static boolean isTrue(Object value) {
    return switch (value) {
      case null -> false;
      case Missing ignored -> false;
      case Boolean truth -> truth;
      case Number number -> number.doubleValue() != 0;
      default -> true;
    };
  }

  /** A value as the server's messages print it. */
  static String text(Object value) {
    return switch (value) {
      case null -> "null";
      case String text -> '"' + text + '"';
      case RawDocument raw -> text(raw.decoded());
      case Map<?, ?> map -> map.isEmpty() ? "{}"
          : map.entrySet().stream().map(e -> e.getKey() + ": " + text(e.getValue()))
              .collect(Collectors.joining(", ", "{", "}"));
      case Collection<?> items -> items.stream().map(Types::text).collect(Collectors.joining(", ", "[ ", " ]"));
      case ObjectId id -> "ObjectId('" + id.getHexData() + "')";
      case BsonTimestamp time -> "Timestamp(" + time.getTime() + ", " + time.getInc() + ")";
      case Binary binary -> "BinData(" + binary.subtype() + ", ...)";
      default -> value.toString();
    };
  }
}
