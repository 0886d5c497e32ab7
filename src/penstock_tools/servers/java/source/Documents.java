package penstock.source;

import de.bwaldvogel.mongo.bson.BsonRegularExpression;
import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.bson.ObjectId;
import java.util.List;
import java.util.Map;

/** Makes documents ready to be stored: with `_id`, and in front, and with empty timestamps filled in. */
final class Documents {
  /** A document to be stored, and its id. */
  record Ready(Object id, RawDocument raw) {}

  private Documents() {}

  /** Prepare a document that came as bytes, which stay as they are wherever nothing is to be done. */
  static Ready prepare(Object given, ServerState state) {
    RawDocument raw = given instanceof RawDocument bytes ? bytes : new RawDocument(BsonWriter.encode((Document) given));
    checkSize(raw, state);
    BsonReader reader = new BsonReader(raw.bytes(), 4);
    boolean hasId = false;
    boolean untouched = true;
    Object id = null;
    int index = 0;
    for (byte type = reader.int8(); type != 0; type = reader.int8(), index++) {
      String name = reader.cString();
      if (name.equals("_id")) {
        hasId = true;
        id = reader.value(type);
        untouched &= index == 0;
      } else {
        untouched &= !(type == 0x11 && isZero(reader));
        checkName(name);
        reader.skip(type);
      }
    }
    if (hasId && untouched) {
      checkId(id);
      return new Ready(id, raw);
    }
    return rebuilt(raw.decoded(), state);
  }

  private static boolean isZero(BsonReader reader) {
    int at = reader.position;
    boolean zero = reader.int64() == 0;
    reader.position = at;
    return zero;
  }

  /** Put `_id` in front, making one where it is missing, and fill in the empty timestamps of the top level. */
  static Ready rebuilt(Document document, ServerState state) {
    Object id = document.containsKey("_id") ? document.get("_id") : new ObjectId();
    checkId(id);
    Document ordered = new Document("_id", id);
    for (Map.Entry<String, Object> field : document.entrySet()) {
      boolean empty = field.getValue() instanceof BsonTimestamp time && time.getValue() == 0;
      if (!field.getKey().equals("_id")) {
        checkName(field.getKey());
        ordered.append(field.getKey(), empty ? new BsonTimestamp(state.clock.last()) : field.getValue());
      }
    }
    RawDocument raw = new RawDocument(BsonWriter.encode(ordered));
    checkSize(raw, state);
    return new Ready(id, raw);
  }

  private static void checkSize(RawDocument raw, ServerState state) {
    if (raw.bytes().length > Limits.DOCUMENT_BYTES) {
      throw state.dialect.insertTooLarge(raw.bytes().length);
    }
  }

  private static void checkName(String name) {
    if (name.startsWith("$")) {
      throw new CommandError(CommandError.BAD_VALUE, "Document can't have $ prefixed field names: " + name);
    }
  }

  private static void checkId(Object id) {
    if (id instanceof List<?>) {
      throw new CommandError(CommandError.BAD_VALUE, "can't use an array for _id");
    }
    if (id instanceof BsonRegularExpression) {
      throw new CommandError(CommandError.BAD_VALUE, "can't use a regex for _id");
    }
    if (id instanceof Document document) {
      for (String name : document.keySet()) {
        if (name.startsWith("$")) {
          throw new CommandError(52, name + " is not valid for storage.");
        }
      }
    }
  }
}
