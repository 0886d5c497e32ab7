package penstock.source;

import java.util.concurrent.locks.ReentrantLock;

/** The whole state of the server. A thread that writes holds the write lock; one that reads needs none. */
final class ServerState {
  private static final long LOG_BYTES = 400L << 20;
  private static final long NOOP_SECONDS = 1;

  final ServerOptions options;
  final Dialect dialect;
  final ClusterClock clock = new ClusterClock(NOOP_SECONDS);
  final EnabledStreams enabled;
  final ChangeLog log;
  final Catalog catalog = new Catalog();
  final Cursors cursors = new Cursors();
  final Transactions transactions;
  final ReentrantLock writeLock = new ReentrantLock();

  /** Whether all writes of one command get one cluster time, as those of a transaction do. */
  volatile boolean oneTimePerCommand;

  ServerState(ServerOptions options) {
    this.options = options;
    this.dialect = Dialect.named(options.mode());
    this.enabled = new EnabledStreams(options.refusesUnenabled());
    if (!dialect.needsEnabling()) {
      enabled.enable(EnabledStreams.Rule.CLUSTER, 0);
    }
    this.log = new ChangeLog(clock, enabled, options.logSize(), LOG_BYTES, options.logSeconds());
    this.transactions = new Transactions(this);
    this.oneTimePerCommand = options.oneTimePerCommand();
  }
}
