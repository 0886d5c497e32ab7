package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.time.Instant;
import java.util.List;

/** Deletes documents whose time is up by an index with `expireAfterSeconds`, once a second. */
final class Expiry implements Runnable {
  private static final long PERIOD_MILLIS = 1000;

  private final ServerState state;

  Expiry(ServerState state) {
    this.state = state;
  }

  @Override
  public void run() {
    while (true) {
      try {
        Thread.sleep(PERIOD_MILLIS);
      } catch (InterruptedException e) {
        return;
      }
      for (DocumentCollection collection : state.catalog.all()) {
        collection.indexes().stream().filter(index -> index.expireAfterSeconds() != null)
            .forEach(index -> sweep(collection, index));
      }
    }
  }

  private void sweep(DocumentCollection collection, CollectionIndex index) {
    Instant limit = Instant.now().minusSeconds(index.expireAfterSeconds());
    Query expired = Query.of(new Document(index.firstField(), new Document("$lt", limit)));
    try (WriteUnit unit = new WriteUnit(state)) {
      List<DocumentCollection.Stored> found = unit.settled(collection, () -> new Find(collection, expired).matching());
      found.forEach(stored -> unit.delete(collection, stored));
    }
  }
}
