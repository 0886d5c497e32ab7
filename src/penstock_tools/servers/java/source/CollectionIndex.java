package penstock.source;

import de.bwaldvogel.mongo.backend.Missing;
import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** An index's description. Only unique ones hold entries: queries go by `_id` or look at every document. */
final class CollectionIndex {
  final Document description;
  private final Document key;
  private final Map<Object, Long> entries = new TreeMap<>(BsonOrder.ASCENDING);

  CollectionIndex(Document description) {
    this.description = description;
    this.key = (Document) description.get("key");
  }

  static CollectionIndex ofId() {
    return new CollectionIndex(new Document("v", 2).append("key", new Document("_id", 1)).append("name", "_id_"));
  }

  CollectionIndex emptyCopy() {
    return new CollectionIndex(description);
  }

  CollectionIndex filledFrom(Collection<DocumentCollection.Stored> documents) {
    documents.forEach(this::add);
    return this;
  }

  String name() {
    return (String) description.get("name");
  }

  /** After how many seconds documents expire, or null. */
  Long expireAfterSeconds() {
    return description.get("expireAfterSeconds") instanceof Number seconds ? (Long) seconds.longValue() : null;
  }

  String firstField() {
    return key.keySet().iterator().next();
  }

  private boolean isUnique() {
    return Types.isTrue(description.get("unique"));
  }

  void check(DocumentCollection collection, DocumentCollection.Stored added) {
    List<Object> values = entry(added);
    Long holder = values == null ? null : entries.get(values);
    if (holder != null && holder != added.record()) {
      throw duplicate(collection, this, values);
    }
  }

  void add(DocumentCollection.Stored added) {
    List<Object> values = entry(added);
    if (values != null) {
      entries.put(values, added.record());
    }
  }

  void remove(DocumentCollection.Stored old) {
    List<Object> values = entry(old);
    if (values != null) {
      entries.remove(values, old.record());
    }
  }

  /** The indexed values of a document, or null where it has no entry. */
  private List<Object> entry(DocumentCollection.Stored stored) {
    if (!isUnique()) {
      return null;
    }
    Document document = stored.raw().decoded();
    List<Object> values = new ArrayList<>();
    boolean any = false;
    for (String field : key.keySet()) {
      Object value = Paths.get(document, field);
      any |= !(value instanceof Missing);
      values.add(value instanceof Missing ? null : value);
    }
    return any || !Types.isTrue(description.get("sparse")) ? values : null;
  }

  static CommandError duplicate(DocumentCollection collection, CollectionIndex index, List<Object> values) {
    StringBuilder text = new StringBuilder();
    Document keyValue = new Document();
    List<String> fields = List.copyOf(index.key.keySet());
    for (int i = 0; i < values.size(); i++) {
      Object value = values.get(i);
      text.append(i == 0 ? "" : ", ").append(fields.get(i)).append(": ").append(Types.text(value));
      keyValue.append(fields.get(i), value);
    }
    String message = "E11000 duplicate key error collection: %s index: %s dup key: { %s }"
        .formatted(collection.fullName(), index.name(), text);
    Document details = new Document("keyPattern", index.key).append("keyValue", keyValue);
    return new CommandError(CommandError.DUPLICATE_KEY, message, details, List.of());
  }
}
