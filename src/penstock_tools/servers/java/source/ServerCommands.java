package penstock.source;

import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Commands about the server itself, sessions and running operations. */
final class ServerCommands {
  private final ServerState state;
  private final Commands commands;

  ServerCommands(ServerState state, Commands commands) {
    this.state = state;
    this.commands = commands;
  }

  void register(Map<String, CommandHandler> handlers) {
    handlers.put("isMaster", this::isMaster);
    if (state.dialect.knowsHello()) {
      handlers.put("hello", this::isMaster);
    }
    for (String name : List.of("ping", "setParameter", "fsync", "startSession", "refreshSessions", "logout",
        "whatsmyuri")) {
      handlers.put(name, request -> ok());
    }
    handlers.put("buildInfo", this::buildInfo);
    handlers.put("getParameter", this::getParameter);
    handlers.put("serverStatus", this::serverStatus);
    handlers.put("connectionStatus", this::connectionStatus);
    handlers.put("replSetGetStatus", this::replSetGetStatus);
    handlers.put("hostInfo",
        request -> new Document("system", new Document("hostname", "localhost")).append("ok", 1.0));
    handlers.put("getCmdLineOpts",
        request -> new Document("argv", List.of()).append("parsed", new Document()).append("ok", 1.0));
    handlers.put("endSessions", request -> ended(request, false));
    handlers.put("killSessions", request -> ended(request, true));
    handlers.put("commitTransaction", request -> state.transactions.end(request, true));
    handlers.put("abortTransaction", request -> state.transactions.end(request, false));
    handlers.put("currentOp", this::currentOp);
    handlers.put("killOp", this::killOp);
  }

  private static Document ok() {
    return new Document("ok", 1.0);
  }

  private Document isMaster(CommandRequest request) {
    boolean primary = commands.faults.isPrimary() && !Secondary.serves(state, request.connection());
    String address = state.options.bind() + ":" + request.connection().serverPort();
    Document optime = new Document("ts", new BsonTimestamp(state.clock.last())).append("t", 1L);
    Document committed = new Document("ts", new BsonTimestamp(state.majority.time())).append("t", 1L);
    Document lastWrite = new Document("opTime", optime).append("lastWriteDate", Instant.now())
        .append("majorityOpTime", committed).append("majorityWriteDate", Instant.now());
    Document reply = new Document("hosts", hosts(address)).append("setName", "rs0").append("setVersion", 1);
    reply.append(request.name().equals("hello") ? "isWritablePrimary" : "ismaster", primary).append("secondary",
        !primary);
    if (primary) {
      reply.append("primary", address);
    }
    reply.append("me", address);
    if (state.dialect.tellsReplication()) {
      reply.append("electionId", commands.faults.electionId()).append("lastWrite", lastWrite);
    }
    reply.append("maxBsonObjectSize", Limits.DOCUMENT_BYTES).append("maxMessageSizeBytes", Limits.MESSAGE_BYTES)
        .append("maxWriteBatchSize", Limits.WRITES_PER_COMMAND).append("localTime", Instant.now())
        .append("logicalSessionTimeoutMinutes", 30).append("minWireVersion", 0)
        .append("maxWireVersion", state.dialect.wireVersion)
        .append("readOnly", false);
    if (request.has("saslSupportedMechs") && state.options.asksForLogin()) {
      reply.append("saslSupportedMechs", List.of("SCRAM-SHA-1", "SCRAM-SHA-256"));
    }
    if (state.dialect.knowsHello() && request.flag("helloOk")) {
      reply.append("helloOk", true);
    }
    return reply.append("ok", 1.0);
  }

  /** All members; a client that came by one of two ports comes to know the other. */
  private List<String> hosts(String address) {
    if (state.secondary == null) {
      return List.of(address);
    }
    return List.of(state.options.bind() + ":" + state.primaryPort, state.options.bind() + ":" + state.secondary.port);
  }

  private Document buildInfo(CommandRequest request) {
    return new Document("version", state.dialect.versionText())
        .append("gitVersion", "unknown")
        .append("modules", List.of())
        .append("versionArray", state.dialect.version)
        .append("bits", 64)
        .append("maxBsonObjectSize", Limits.DOCUMENT_BYTES)
        .append("storageEngines", List.of("devnull", "ephemeralForTest", "wiredTiger"))
        .append("ok", 1.0);
  }

  private Document getParameter(CommandRequest request) {
    if (!request.flag("featureCompatibilityVersion")) {
      throw new CommandError(CommandError.INVALID_OPTIONS, "no option found to get");
    }
    String version = "%d.%d".formatted(state.dialect.version.get(0), state.dialect.version.get(1));
    return new Document("featureCompatibilityVersion", new Document("version", version)).append("ok", 1.0);
  }

  private Document serverStatus(CommandRequest request) {
    Document replication = new Document("setName", "rs0").append("ismaster", true);
    return new Document("host", "localhost")
        .append("version", state.dialect.versionText())
        .append("process", "mongod")
        .append("localTime", Instant.now())
        .append("repl", replication)
        .append("storageEngine", new Document("name", "wiredTiger"))
        .append("ok", 1.0);
  }

  private Document connectionStatus(CommandRequest request) {
    List<Document> users = new ArrayList<>();
    List<Document> roles = new ArrayList<>();
    if (state.options.asksForLogin()) {
      users.add(new Document("user", String.valueOf(state.options.user()))
          .append("db", state.options.asksForSubject() ? "$external" : "admin"));
      roles.add(new Document("role", "root").append("db", "admin"));
    }
    return new Document("authInfo", new Document("authenticatedUsers", users).append("authenticatedUserRoles", roles))
        .append("ok", 1.0);
  }

  private Document replSetGetStatus(CommandRequest request) {
    BsonTimestamp now = new BsonTimestamp(state.clock.last());
    Document optime = new Document("ts", now).append("t", 1L);
    Document committed = new Document("ts", new BsonTimestamp(state.majority.time())).append("t", 1L);
    Document member = new Document("_id", 0)
        .append("name", state.options.bind() + ":" + request.connection().serverPort()).append("health", 1.0)
        .append("state", 1).append("stateStr", "PRIMARY").append("optime", optime).append("self", true);
    return new Document("set", "rs0")
        .append("date", Instant.now())
        .append("myState", 1)
        .append("optimes", new Document("lastCommittedOpTime", committed).append("appliedOpTime", optime))
        .append("members", List.of(member))
        .append("ok", 1.0);
  }

  private Document ended(CommandRequest request, boolean withCursors) {
    if (request.argument() instanceof List<?> sessions) {
      for (Object session : sessions) {
        state.transactions.endSession((Document) session);
        if (withCursors) {
          Object id = ((Document) session).get("id");
          state.cursors.closeWhere(cursor -> cursor.session != null && id.equals(cursor.session.get("id")));
        }
      }
    }
    return ok();
  }

  private static final Set<String> SELECTION = Set.of("currentOp", "lsid", "$clusterTime", "$db", "$readPreference",
      "$all");

  private Document currentOp(CommandRequest request) {
    Document selection = new Document();
    request.command().forEach(
        (name, value) -> {
          if (!SELECTION.contains(name)) {
            selection.append(name, value);
          }
        });
    Query wanted = Query.of(selection);
    return new Document("inprog", commands.running().stream().filter(wanted::matches).toList()).append("ok", 1.0);
  }

  /** A getMore that waits goes on waiting; its cursor is gone afterwards. */
  private Document killOp(CommandRequest request) {
    long id = request.number("op", 0);
    commands.running().stream()
        .filter(operation -> ((Number) operation.get("opid")).longValue() == id)
        .forEach(operation -> {
          if (((Document) operation.get("command")).get("getMore") instanceof Long cursor) {
            state.cursors.close(cursor);
          }
        });
    return new Document("info", "attempting to kill op").append("ok", 1.0);
  }
}
