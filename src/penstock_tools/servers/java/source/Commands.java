package penstock.source;

import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import java.util.Collection;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/** Finds what a command asks for, runs it, and finishes the reply. */
final class Commands {
  private static final Set<String> BEFORE_LOGIN = Set.of("hello", "ismaster", "saslstart", "saslcontinue",
      "authenticate", "ping", "buildinfo", "endsessions", "logout");
  private static final Set<String> NEED_PRIMARY = Set.of("insert", "update", "delete", "findandmodify", "create",
      "drop", "dropdatabase", "renamecollection", "createindexes", "find", "aggregate");

  final FaultCommands faults;
  private final ServerState state;
  private final Map<String, CommandHandler> handlers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
  private final Map<Long, Document> running = new ConcurrentHashMap<>();
  private final AtomicLong operations = new AtomicLong();

  Commands(ServerState state) {
    this.state = state;
    this.faults = new FaultCommands(state);
    new ReadCommands(state).register(handlers);
    new WriteCommands(state).register(handlers);
    new CatalogCommands(state).register(handlers);
    new ServerCommands(state, this).register(handlers);
    new Authentication(state.options).register(handlers);
    faults.register(handlers);
    state.dialect.adapt(handlers, state);
  }

  /** The commands being run, as `currentOp` shows them. */
  Collection<Document> running() {
    return running.values();
  }

  Document run(Document command, String database, ClientConnection connection) {
    CommandRequest request = new CommandRequest(command.keySet().iterator().next(), command, database, connection);
    long id = operations.incrementAndGet();
    String operation = request.name().equals("getMore") ? "getmore" : "command";
    running.put(id, new Document("opid", id).append("op", operation).append("command", command).append("ns", database));
    Document reply;
    try {
      reply = answer(request);
    } catch (CommandError e) {
      reply = failed(e, request);
    } catch (MongoServerError e) {
      reply = failed(new CommandError(e.getCode(), e.getMessageWithoutErrorCode()), request);
    } catch (ClientConnection.Closed e) {
      throw e;
    } catch (RuntimeException e) {
      e.printStackTrace();
      reply = failed(new CommandError(CommandError.INTERNAL_ERROR, "the local source cannot take this: " + e), request);
    } finally {
      running.remove(id);
    }
    return finished(reply, request);
  }

  private Document answer(CommandRequest request) {
    CommandHandler handler = handlers.get(request.name());
    if (handler == null) {
      throw new CommandError(59, "no such command: '%s'".formatted(request.name()));
    }
    String name = request.name().toLowerCase(java.util.Locale.ROOT);
    if (state.options.asksForLogin() && !request.connection().isLoggedIn() && !BEFORE_LOGIN.contains(name)) {
      throw new CommandError(13, "command %s requires authentication".formatted(request.name()));
    }
    faults.strike(request);
    if (NEED_PRIMARY.contains(name)) {
      if (Secondary.serves(state, request.connection())) {
        state.secondary.check(request);
      } else {
        faults.checkPrimary();
      }
    }
    state.dialect.check(request);
    awaitAskedTime(request);
    return acknowledged(request, run(request, handler));
  }

  /** A majority read that is to see a certain time waits for it. */
  private void awaitAskedTime(CommandRequest request) {
    if (request.readsMajority() && request.document("readConcern").get("afterClusterTime") instanceof BsonTimestamp time
        && state.majority.isBehind()) {
      state.majority.await(Math.min(time.getValue(), state.clock.last()), Integer.MAX_VALUE);
    }
  }

  /** The answer to a write that is to be acknowledged by a majority waits for it. */
  private Document acknowledged(CommandRequest request, Document reply) {
    Document concern = request.document("writeConcern");
    if (!"majority".equals(concern.get("w")) || !state.majority.isBehind()) {
      return reply;
    }
    long most = concern.get("wtimeout") instanceof Number limit && limit.longValue() > 0 ? limit.longValue()
        : Integer.MAX_VALUE;
    if (!state.majority.await(state.clock.last(), most)) {
      reply.append("writeConcernError", new Document("code", 64).append("codeName", "WriteConcernFailed")
          .append("errmsg", "waiting for replication timed out"));
    }
    return reply;
  }

  private Document run(CommandRequest request, CommandHandler handler) {
    boolean retryable = request.transactionNumber() >= 0 && !request.isInTransaction() && request.session() != null;
    if (!retryable) {
      return handler.run(request);
    }
    Document known = state.transactions.answerTo(request);
    if (known == null) {
      known = handler.run(request);
      state.transactions.remember(request, known.clone());
    }
    return known.clone();
  }

  /** A command that fails in a transaction ends the transaction. */
  private Document failed(CommandError error, CommandRequest request) {
    if (request.isInTransaction() && error.code != 251) {
      state.transactions.forget(request.session());
    }
    CommandError shown = state.dialect.explainsDuplicates() ? error : error.inOldWords();
    return shown.asReply(new BsonTimestamp(state.clock.last()));
  }

  private Document finished(Document reply, CommandRequest request) {
    BsonTimestamp time = new BsonTimestamp(state.clock.last());
    if (request.readsMajority()) {
      state.atMajority(reply);
    }
    Document signature = new Document("hash", new Binary(Binary.GENERIC, new byte[20])).append("keyId", 0L);
    reply.putIfAbsent("operationTime", time);
    if (Secondary.serves(state, request.connection())) {
      state.secondary.itsTime(reply);
    }
    if (!state.dialect.tellsReplication()) {
      return reply;
    }
    Object operationTime = reply.get("operationTime");
    reply.append("$clusterTime", new Document("clusterTime", time).append("signature", signature));
    if (state.dialect.tellsOperationTimeLast() && !reply.containsKey("errmsg")) {
      reply.remove("operationTime");
      reply.append("operationTime", operationTime);
    }
    return reply;
  }

}
