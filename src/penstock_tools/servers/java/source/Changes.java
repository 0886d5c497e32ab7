package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.TreeSet;

/** The paths that an update changed. */
final class Changes {
  private final TreeMap<String, Object> updated = new TreeMap<>();
  private final TreeSet<String> removed = new TreeSet<>();

  void set(String path, Object value) {
    updated.put(path, value);
  }

  void unset(String path) {
    removed.add(path);
  }

  /** Say that the array as a whole changed, in place of its elements. */
  void setWhole(String path, Object array) {
    updated.keySet().removeIf(changed -> changed.startsWith(path + "."));
    removed.removeIf(changed -> changed.startsWith(path + "."));
    updated.put(path, array);
  }

  int count() {
    return updated.size() + removed.size();
  }

  boolean isEmpty() {
    return count() == 0;
  }

  boolean touches(String field) {
    return updated.keySet().stream().anyMatch(path -> Paths.overlap(path, field)) || removed.contains(field);
  }

  /** The `updateDescription` of the event; it is encoded at once, for the document may change again. */
  Document description(boolean withTruncatedArrays) {
    List<String> removedFields = new ArrayList<>(removed);
    Document description = new Document("updatedFields", new RawDocument(BsonWriter.encode(updated)))
        .append("removedFields", removedFields);
    return withTruncatedArrays ? description.append("truncatedArrays", List.of()) : description;
  }

  /** The difference of two documents by their top-level fields: what an update by a pipeline changed. */
  static Changes between(Document before, Document after) {
    Changes changes = new Changes();
    after.forEach(
        (field, value) -> {
          if (!before.containsKey(field) || !Operators.identical(before.get(field), value)) {
            changes.set(field, value);
          }
        });
    before.keySet().stream().filter(field -> !after.containsKey(field)).forEach(changes::unset);
    return changes;
  }
}
