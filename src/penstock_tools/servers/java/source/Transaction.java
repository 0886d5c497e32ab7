package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.UUID;

/** An open transaction: snapshots of the collections it touched, and the events of its commit. */
final class Transaction {
  private final ServerState state;
  private final Document session;
  final long number;
  private final Map<UUID, DocumentCollection> views = new HashMap<>();
  private final Map<UUID, TreeSet<Object>> written = new HashMap<>();
  private final List<Event> events = new ArrayList<>();

  Transaction(ServerState state, Document session, long number) {
    this.state = state;
    this.session = session;
    this.number = number;
  }

  DocumentCollection view(DocumentCollection collection) {
    return views.computeIfAbsent(collection.uuid, uuid -> collection.snapshot());
  }

  boolean hasWritten(UUID collection, Object id) {
    return written.getOrDefault(collection, new TreeSet<>(BsonOrder.ASCENDING)).contains(BsonOrder.key(id));
  }

  void noteWritten(UUID collection, Object id) {
    written.computeIfAbsent(collection, uuid -> new TreeSet<>(BsonOrder.ASCENDING)).add(BsonOrder.key(id));
  }

  void add(List<Event> more) {
    Document shown = new Document("txnNumber", number).append("lsid", sessionWithUser());
    more.forEach(event -> event.transaction = shown);
    events.addAll(more);
  }

  private Document sessionWithUser() {
    return new Document("id", session.get("id")).append("uid", new Binary(Binary.GENERIC, new byte[32]));
  }

  /** Bring the final state of every written document into its collection, then log all events at one time. */
  void commit() {
    written.forEach(
        (uuid, ids) -> {
          DocumentCollection collection = state.catalog.find(uuid);
          if (collection != null) {
            ids.forEach(id -> bring(views.get(uuid).find(id), collection, id));
          }
        });
    if (!events.isEmpty()) {
      state.log.append(events, true);
    }
    state.majority.endUnit();
  }

  private static void bring(DocumentCollection.Stored state, DocumentCollection collection, Object id) {
    DocumentCollection.Stored old = collection.find(id);
    if (old != null && state != null) {
      collection.replace(old, state.id(), state.raw());
    } else if (old != null) {
      collection.remove(old);
    } else if (state != null) {
      collection.insert(state.id(), state.raw());
    }
  }
}
