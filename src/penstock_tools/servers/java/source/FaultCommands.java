package penstock.source;

import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.bson.ObjectId;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Faults on demand: `configureFailPoint` with `failCommand` as real test servers have it, step-downs, and the command
 * `penstockSource`, which loses positions, closes connections and moves the clock.
 */
final class FaultCommands {
  private final ServerState state;
  private final Set<ClientConnection> connections = ConcurrentHashMap.newKeySet();
  private volatile long primaryAgainAt;
  private volatile int term = 1;
  private Document failPoint;
  private long failPointTimes;

  FaultCommands(ServerState state) {
    this.state = state;
  }

  void register(Map<String, CommandHandler> handlers) {
    handlers.put("configureFailPoint", this::configureFailPoint);
    handlers.put("replSetStepDown", this::stepDown);
    handlers.put("penstockSource", this::penstockSource);
  }

  void opened(ClientConnection connection) {
    connections.add(connection);
  }

  void closed(ClientConnection connection) {
    connections.remove(connection);
  }

  boolean isPrimary() {
    return System.nanoTime() - primaryAgainAt >= 0;
  }

  /** Differs after each step-down, and rises. */
  ObjectId electionId() {
    return new ObjectId("7fffffff%016x".formatted(term));
  }

  void checkPrimary() {
    if (!isPrimary()) {
      throw new CommandError(10107, "not master", List.of("RetryableWriteError"));
    }
  }

  private Document stepDown(CommandRequest request) {
    primaryAgainAt = System.nanoTime() + request.number("replSetStepDown", 60) * 1_000_000_000;
    term++;
    if (state.dialect.stepDownCloses()) {
      state.cursors.all().forEach(cursor -> cursor.interrupted = true);
      connections.forEach(ClientConnection::close);
      state.log.wakeAll();
    }
    return new Document("ok", 1.0);
  }

  private synchronized Document configureFailPoint(CommandRequest request) {
    Object mode = request.command().get("mode");
    boolean off = "off".equals(mode);
    failPoint = off ? null : request.document("data");
    failPointTimes = mode instanceof Document times && times.get("times") instanceof Number number ? number.longValue()
        : Long.MAX_VALUE;
    return new Document("ok", 1.0);
  }

  /** Fail the command when a fail point says so. */
  void strike(CommandRequest request) {
    Document struck = takeFailPoint(request.name());
    if (struck == null) {
      return;
    }
    if (struck.get("blockTimeMS") instanceof Number milliseconds) {
      pause(milliseconds.longValue());
    }
    if (Types.isTrue(struck.get("closeConnection"))) {
      throw new ClientConnection.Closed();
    }
    if (struck.get("errorCode") instanceof Number code) {
      List<String> labels = ((List<?>) struck.getOrDefault("errorLabels", List.of())).stream().map(String::valueOf)
          .toList();
      throw new CommandError(code.intValue(), "Failing command via 'failCommand' failpoint", labels);
    }
  }

  private synchronized Document takeFailPoint(String command) {
    if (failPoint == null || failPointTimes <= 0
        || !((List<?>) failPoint.getOrDefault("failCommands", List.of())).contains(command)) {
      return null;
    }
    failPointTimes--;
    return failPoint;
  }

  private static void pause(long milliseconds) {
    try {
      Thread.sleep(milliseconds);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** The fields say what to do; several may be given. */
  private Document penstockSource(CommandRequest request) {
    Object before = request.command().get("dropLogBefore");
    if (before != null) {
      state.log.truncate(before instanceof BsonTimestamp time ? time.getValue() : state.clock.tick());
    }
    if (request.has("advanceClock")) {
      state.clock.advance(request.number("advanceClock", 0));
    }
    if (request.has("oneTimePerCommand")) {
      state.oneTimePerCommand = request.flag("oneTimePerCommand");
    }
    if (request.has("majorityLagMs")) {
      state.majority.lag(request.number("majorityLagMs", 0));
    }
    if (request.has("holdMajority")) {
      state.majority.hold(request.flag("holdMajority"), true);
    }
    if (request.has("holdReads")) {
      state.majority.hold(request.flag("holdReads"), false);
    }
    if (request.has("holdSecondary")) {
      state.secondary.hold(request.flag("holdSecondary"));
    }
    if (request.has("eventsPerReply")) {
      state.eventsPerReply = (int) request.number("eventsPerReply", Integer.MAX_VALUE);
    }
    if (request.flag("killCursors")) {
      state.cursors.closeWhere(cursor -> true);
    }
    if (request.flag("closeConnections")) {
      connections.stream().filter(connection -> connection != request.connection()).forEach(ClientConnection::close);
    }
    return new Document("ok", 1.0);
  }
}
