package penstock.source;

import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import java.util.UUID;

/** One change as the log keeps it. Its time and its place among the events of that time are set by the log. */
final class Event {
  /** About what an event takes in memory besides its documents. */
  private static final int OVERHEAD = 600;

  final String type;
  final String database;
  final String collection;
  final UUID uuid;

  /** The document's key, with `_id` as it is stored; null for what concerns whole collections. */
  Document documentKey;
  /** The whole document of an insert or replace. */
  RawDocument document;
  /** The document before the change, where the collection keeps it; null for an insert too. */
  RawDocument before;
  /** What an update changed. */
  Document updateDescription;
  /** Where a rename leads. */
  String renamedDatabase;
  String renamedCollection;
  /** The session of the transaction the change was part of. */
  Document transaction;

  long time;
  int place;
  private int size;

  Event(String type, String database, String collection, UUID uuid) {
    this.type = type;
    this.database = database;
    this.collection = collection;
    this.uuid = uuid;
  }

  static Event insert(DocumentCollection in, RawDocument document, Object id) {
    Event event = ofDocument("insert", in, id);
    event.document = document;
    return event;
  }

  static Event replace(DocumentCollection in, RawDocument document, Object id) {
    Event event = ofDocument("replace", in, id);
    event.document = document;
    return event;
  }

  static Event update(DocumentCollection in, Document updateDescription, Object id) {
    Event event = ofDocument("update", in, id);
    event.updateDescription = updateDescription;
    return event;
  }

  static Event delete(DocumentCollection in, Object id) {
    return ofDocument("delete", in, id);
  }

  private static Event ofDocument(String type, DocumentCollection in, Object id) {
    Event event = new Event(type, in.database(), in.name(), in.uuid);
    event.documentKey = new Document("_id", id);
    return event;
  }

  static Event drop(DocumentCollection dropped) {
    return new Event("drop", dropped.database(), dropped.name(), dropped.uuid);
  }

  static Event dropDatabase(String database) {
    return new Event("dropDatabase", database, null, null);
  }

  static Event rename(DocumentCollection renamed, String toDatabase, String toCollection) {
    Event event = new Event("rename", renamed.database(), renamed.name(), renamed.uuid);
    event.renamedDatabase = toDatabase;
    event.renamedCollection = toCollection;
    return event;
  }

  /** The same event with the document before the change. */
  Event after(RawDocument state) {
    before = state;
    return this;
  }

  /** Whether there was a document before the change. */
  boolean hasBefore() {
    return documentKey != null && !type.equals("insert");
  }

  boolean isUpdate() {
    return updateDescription != null;
  }

  /** About how many bytes the log holds for this event. */
  int size() {
    if (size == 0) {
      size = OVERHEAD;
      size += document == null ? 0 : document.bytes().length;
      size += before == null ? 0 : before.bytes().length;
      size += updateDescription == null ? 0 : BsonWriter.encode(updateDescription).length;
    }
    return size;
  }

  Document namespace() {
    Document namespace = new Document("db", database);
    return collection == null ? namespace : namespace.append("coll", collection);
  }

  /** The event as watchers get it, in the recorded order of keys. `found` is what an update looked up, or null. */
  Document asDocument(Document token, Object found, boolean lookedUp) {
    Document shown = new Document();
    if (transaction != null) {
      shown.putAll(transaction);
    }
    if (renamedCollection != null) {
      shown.append("to", new Document("db", renamedDatabase).append("coll", renamedCollection));
    }
    shown.append("_id", token).append("operationType", type).append("clusterTime", new BsonTimestamp(time));
    if (document != null) {
      shown.append("fullDocument", document);
    } else if (lookedUp) {
      shown.append("fullDocument", found);
    }
    shown.append("ns", namespace());
    if (documentKey != null) {
      shown.append("documentKey", documentKey);
    }
    return isUpdate() ? shown.append("updateDescription", updateDescription) : shown;
  }

  /** The event without its documents, for filters that do not look at them. */
  Document outline(Document token) {
    Document outline = new Document("_id", token).append("operationType", type)
        .append("clusterTime", new BsonTimestamp(time)).append("ns", namespace());
    return documentKey == null ? outline : outline.append("documentKey", documentKey);
  }
}
