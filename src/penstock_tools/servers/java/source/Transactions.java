package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;

/** The open transactions by session, and the answers to retried writes. All of it under the write lock. */
final class Transactions {
  private static final long LONGEST_WAIT_SECONDS = 60;

  private record Answered(long number, Document reply) {}

  private final ServerState state;
  private final Map<Object, Transaction> open = new HashMap<>();
  private final Map<Object, Answered> answered = new HashMap<>();
  private final Condition ended;

  Transactions(ServerState state) {
    this.state = state;
    this.ended = state.writeLock.newCondition();
  }

  private static Object key(Document session) {
    return session.get("id");
  }

  /** The transaction that a command is part of, begun when the command says so; null outside of any. */
  Transaction of(CommandRequest request) {
    if (!request.isInTransaction()) {
      return null;
    }
    if (request.flag("startTransaction")) {
      Transaction begun = new Transaction(state, request.session(), request.transactionNumber());
      open.put(key(request.session()), begun);
      return begun;
    }
    Transaction found = open.get(key(request.session()));
    if (found == null || found.number != request.transactionNumber()) {
      throw new CommandError(
          251,
          "Transaction %d has been aborted.".formatted(request.transactionNumber()),
          List.of(CommandError.TRANSIENT_TRANSACTION));
    }
    return found;
  }

  /** End a command's transaction, keeping its writes or not. */
  Document end(CommandRequest request, boolean keep) {
    state.writeLock.lock();
    try {
      Transaction transaction = of(request);
      if (keep) {
        transaction.commit();
      }
      forget(request.session());
      return new Document("ok", 1.0);
    } finally {
      state.writeLock.unlock();
    }
  }

  /** A failed command aborts the transaction it was part of. */
  void forget(Document session) {
    state.writeLock.lock();
    try {
      open.remove(key(session));
      ended.signalAll();
    } finally {
      state.writeLock.unlock();
    }
  }

  /** Note that a transaction is about to write a document; it fails where another was first. */
  void claim(DocumentCollection view, Object id, Transaction by) {
    DocumentCollection present = state.catalog.find(view.uuid);
    boolean changed = present != null && !by.hasWritten(view.uuid, id) && present.find(id) != view.find(id);
    if (changed || isClaimed(view, id, by)) {
      throw new CommandError(112, "WriteConflict", List.of(CommandError.TRANSIENT_TRANSACTION));
    }
    by.noteWritten(view.uuid, id);
  }

  /** Whether an open transaction has written this document. */
  boolean isClaimed(DocumentCollection view, Object id) {
    return isClaimed(view, id, null);
  }

  private boolean isClaimed(DocumentCollection view, Object id, Transaction by) {
    return open.values().stream().anyMatch(other -> other != by && other.hasWritten(view.uuid, id));
  }

  /** Wait until a transaction ends. The write lock is free meanwhile. */
  void awaitEndOfSome() {
    try {
      if (!ended.await(LONGEST_WAIT_SECONDS, TimeUnit.SECONDS)) {
        throw new CommandError(112, "WriteConflict");
      }
    } catch (InterruptedException e) {
      throw new CommandError(11602, "operation was interrupted");
    }
  }

  /** The answer that a retried write got the first time, or null. */
  Document answerTo(CommandRequest request) {
    state.writeLock.lock();
    try {
      Answered known = answered.get(key(request.session()));
      return known != null && known.number() == request.transactionNumber() ? known.reply() : null;
    } finally {
      state.writeLock.unlock();
    }
  }

  void remember(CommandRequest request, Document reply) {
    state.writeLock.lock();
    try {
      answered.put(key(request.session()), new Answered(request.transactionNumber(), reply));
    } finally {
      state.writeLock.unlock();
    }
  }

  void endSession(Document session) {
    state.writeLock.lock();
    try {
      answered.remove(key(session));
      forget(session);
    } finally {
      state.writeLock.unlock();
    }
  }
}
