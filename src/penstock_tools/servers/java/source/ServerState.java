package penstock.source;

import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import java.util.concurrent.locks.ReentrantLock;

/** The whole state of the server. A thread that writes holds the write lock; one that reads needs none. */
final class ServerState {
  private static final long LOG_BYTES = 400L << 20;

  /** Every so often a quiet cluster notes the time in its log, as the servers do by default. */
  private static final long NOOP_SECONDS = 10;

  final ServerOptions options;
  final Dialect dialect;
  final ClusterClock clock = new ClusterClock(NOOP_SECONDS);
  final ReentrantLock writeLock = new ReentrantLock();
  final Majority majority = new Majority(clock, writeLock);
  final EnabledStreams enabled;
  final ChangeLog log;
  final Catalog catalog = new Catalog(majority);
  final Cursors cursors = new Cursors();
  final Transactions transactions;

  /** Another member, if there is one. */
  volatile Secondary secondary;
  int primaryPort;

  /** Whether all writes of one command get one cluster time, as those of a transaction do. */
  volatile boolean oneTimePerCommand;

  /** How many events of the log a stream looks at for one reply, whether it shows them or not. */
  volatile int eventsPerReply = Integer.MAX_VALUE;

  ServerState(ServerOptions options) {
    this.options = options;
    this.dialect = Dialect.named(options.mode());
    this.enabled = new EnabledStreams(options.refusesUnenabled());
    if (!dialect.needsEnabling()) {
      enabled.enable(EnabledStreams.Rule.CLUSTER, 0);
    }
    this.log = new ChangeLog(clock, enabled, options.logSize(), LOG_BYTES, options.logSeconds());
    majority.onCommit(log::wakeAll);
    majority.lag(options.majorityLagMillis());
    this.transactions = new Transactions(this);
    this.oneTimePerCommand = options.oneTimePerCommand();
  }

  /** The reply to a majority read tells the time that is committed; others tell that of the latest write. */
  Document atMajority(Document reply) {
    return reply.append("operationTime", new BsonTimestamp(majority.time()));
  }
}
