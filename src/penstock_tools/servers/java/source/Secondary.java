package penstock.source;

import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import java.util.Locale;
import java.util.Set;

/**
 * A second member of the replica set: another port of the same server. It takes reads that ask for a secondary, has
 * cursors of its own, and its change streams may be made to lag behind the primary. Documents are those of the primary.
 */
final class Secondary {
  private static final Set<String> READS = Set.of("find", "aggregate");
  private static final long UP_TO_DATE = -1;

  final int port;
  private final ServerState state;
  private volatile long heldAt = UP_TO_DATE;

  Secondary(int port, ServerState state) {
    this.port = port;
    this.state = state;
  }

  /** Whether a connection is to the secondary of this server, if there is one. */
  static boolean serves(ServerState state, ClientConnection connection) {
    return state.secondary != null && connection.serverPort() == state.secondary.port;
  }

  /** Let nothing more arrive from the primary, or all of it. */
  void hold(boolean hold) {
    heldAt = hold ? state.clock.last() : UP_TO_DATE;
    state.log.wakeAll();
  }

  /** The time up to which it has everything from the primary. */
  long time() {
    long held = heldAt;
    return held == UP_TO_DATE ? state.majority.streamTime() : held;
  }

  /**
   * Refuse what only a primary does, among the commands that need one unless they ask for a secondary; and documents
   * while it is held, because it has those of the primary.
   */
  void check(CommandRequest request) {
    if (!READS.contains(request.name().toLowerCase(Locale.ROOT))) {
      throw new CommandError(10107, "not master");
    }
    Object mode = request.document("$readPreference").getOrDefault("mode", "primary");
    if ("primary".equals(mode)) {
      throw new CommandError(13435, "not master and slaveOk=false");
    }
    if (heldAt != UP_TO_DATE && request.name().equals("find")) {
      throw new CommandError(246, "the secondary is behind: it has no documents of its own time");
    }
  }

  /** A reply says how far this member is, not the primary. */
  Document itsTime(Document reply) {
    if (reply.get("operationTime") instanceof BsonTimestamp told
        && Long.compareUnsigned(time(), told.getValue()) < 0) {
      reply.put("operationTime", new BsonTimestamp(time()));
    }
    return reply;
  }
}
