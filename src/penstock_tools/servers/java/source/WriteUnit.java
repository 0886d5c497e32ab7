package penstock.source;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Stream;
import penstock.source.DocumentCollection.Stored;

/**
 * The writes of one command: documents change at once, the events reach the log together when the command ends. In a
 * transaction they change the transaction's own view, and the events wait for its commit.
 */
final class WriteUnit implements AutoCloseable {
  private final ServerState state;
  private final Transaction transaction;
  private final List<Event> events = new ArrayList<>();

  /** Takes the write lock, which `close` gives back. */
  WriteUnit(ServerState state, CommandRequest request) {
    this.state = state;
    state.writeLock.lock();
    try {
      this.transaction = state.transactions.of(request);
    } catch (CommandError e) {
      state.writeLock.unlock();
      throw e;
    }
  }

  WriteUnit(ServerState state) {
    this.state = state;
    this.transaction = null;
    state.writeLock.lock();
  }

  @Override
  public void close() {
    try {
      if (transaction != null) {
        transaction.add(events);
      } else {
        endUnit();
      }
    } finally {
      state.writeLock.unlock();
    }
  }

  /** What the unit's reads and writes work on. */
  DocumentCollection view(DocumentCollection collection) {
    return transaction == null ? collection : transaction.view(collection);
  }

  /** The collection to write to, which a write outside of transactions makes when it is missing. */
  DocumentCollection target(String database, String name) {
    DocumentCollection found = state.catalog.find(database, name);
    if (found == null && transaction != null) {
      throw new CommandError(
          263, "Cannot create namespace %s.%s in multi-document transaction.".formatted(database, name));
    }
    if (found != null && found.isView()) {
      throw new CommandError(166, "Namespace %s is a view, not a collection".formatted(found.fullName()));
    }
    return view(found != null ? found : state.catalog.findOrCreate(database, name));
  }

  /**
   * The documents to be written. While an open transaction has written one of them, a unit outside of any waits and
   * searches again; from then on it keeps the lock, so that what was found is what is there.
   */
  List<Stored> settled(DocumentCollection view, Supplier<Stream<Stored>> search) {
    List<Stored> found = search.get().toList();
    while (transaction == null && found.stream().anyMatch(stored -> state.transactions.isClaimed(view, stored.id()))) {
      awaitEndOfSome();
      found = search.get().toList();
    }
    return found;
  }

  /** Wait for a transaction to end. Others write meanwhile, so the events so far go to the log first. */
  private void awaitEndOfSome() {
    endUnit();
    state.transactions.awaitEndOfSome();
  }

  private void endUnit() {
    if (!events.isEmpty()) {
      state.log.append(events, state.oneTimePerCommand);
      events.clear();
    }
    state.majority.endUnit();
  }

  Stored insert(DocumentCollection view, Object id, RawDocument raw) {
    while (transaction == null && state.transactions.isClaimed(view, id)) {
      awaitEndOfSome();
    }
    claim(view, id);
    Stored stored = view.insert(id, raw);
    log(Event.insert(view, raw, id));
    view.overflow().forEach(view::remove);
    return stored;
  }

  Stored replace(DocumentCollection view, Stored old, Object id, RawDocument raw) {
    claim(view, old.id());
    Stored stored = view.replace(old, id, raw);
    log(Event.replace(view, raw, old.id()).after(kept(view, old)));
    return stored;
  }

  Stored update(DocumentCollection view, Stored old, RawDocument raw, Changes changes) {
    claim(view, old.id());
    Stored stored = view.replace(old, old.id(), raw);
    log(Event.update(view, changes.description(state.dialect.listsTruncatedArrays()), old.id())
        .after(kept(view, old)));
    return stored;
  }

  void delete(DocumentCollection view, Stored old) {
    claim(view, old.id());
    view.remove(old);
    log(Event.delete(view, old.id()).after(kept(view, old)));
  }

  /** The state of a document that its change keeps. */
  private RawDocument kept(DocumentCollection view, Stored old) {
    return state.dialect.keepsBeforeImages() && view.keepsBeforeImages() ? old.raw() : null;
  }

  void drop(DocumentCollection collection) {
    state.catalog.drop(collection);
    if (!collection.isView()) {
      log(Event.drop(collection));
    }
  }

  void log(Event event) {
    Event logged = state.dialect.logged(event);
    if (logged != null && StreamScope.isLogged(logged.database, logged.collection)) {
      events.add(logged);
    }
  }

  private void claim(DocumentCollection view, Object id) {
    if (transaction != null) {
      state.transactions.claim(view, id, transaction);
    }
  }
}
