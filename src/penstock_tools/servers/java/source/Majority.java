package penstock.source;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * How far a majority of the members has come. Here it is one member, so what was written is committed at once, unless
 * the majority is set to lag: then it reaches each unit of writes some time after it was acknowledged, in order.
 * Majority reads and change streams show what is committed, all else what is there. All of it under the write lock.
 */
final class Majority implements Runnable {
  /** Everything is committed. */
  private static final long ALL = -1;

  /** How long a quiet server's own notes take at most. */
  private static final long NOTE_NANOS = 20_000_000;

  private record Unit(long time, long dueNanos, List<DocumentCollection> changed) {}

  private final ClusterClock clock;
  private final ReentrantLock writeLock;
  private final Condition moved;
  private final Deque<Unit> waiting = new ArrayDeque<>();
  private List<DocumentCollection> changed = new ArrayList<>();
  private Runnable onCommit = () -> { };
  private long lagMillis;
  private boolean held;
  private volatile boolean streamsGoOn;
  private volatile long committed = ALL;

  Majority(ClusterClock clock, ReentrantLock writeLock) {
    this.clock = clock;
    this.writeLock = writeLock;
    this.moved = writeLock.newCondition();
  }

  void onCommit(Runnable action) {
    onCommit = action;
  }

  /** Let each unit of writes from now on be committed up to so much later, by chance. */
  void lag(long mostMillis) {
    set(() -> lagMillis = mostMillis);
  }

  /** Let nothing be committed until it may again; streams may go on, as if they had read from another member. */
  void hold(boolean hold, boolean streamsToo) {
    set(() -> {
      held = hold;
      streamsGoOn = hold && !streamsToo;
    });
  }

  private void set(Runnable change) {
    writeLock.lock();
    try {
      change.run();
      if (committed == ALL && lags()) {
        committed = clock.last();
      }
      moved.signalAll();
    } finally {
      writeLock.unlock();
    }
  }

  private boolean lags() {
    return held || lagMillis > 0 || !waiting.isEmpty();
  }

  /** The time up to which everything is committed. */
  long time() {
    long now = committed;
    return now == ALL ? clock.last() : now;
  }

  /** The time up to which change streams show everything. */
  long streamTime() {
    return streamsGoOn ? clock.last() : time();
  }

  /** Whether there may be writes that are not committed. */
  boolean isBehind() {
    return committed != ALL;
  }

  /** What a majority has of a collection, which may be null. */
  DocumentCollection of(DocumentCollection collection) {
    if (collection == null || !isBehind()) {
      return collection;
    }
    writeLock.lock();
    try {
      return collection.committed();
    } finally {
      writeLock.unlock();
    }
  }

  /** What a change stream looks up in. */
  DocumentCollection shownBy(DocumentCollection collection) {
    return streamsGoOn ? collection : of(collection);
  }

  /** Take note of a document that changes; whether its state before must be kept until that is committed. */
  boolean notes(DocumentCollection collection) {
    if (lags()) {
      changed.add(collection);
    }
    return lags();
  }

  /** What changed since the last unit is one, and has its times. */
  void endUnit() {
    if (lags()) {
      long after = waiting.isEmpty() ? 0 : waiting.getLast().dueNanos() - System.nanoTime();
      long lag = lagMillis == 0 ? 0 : ThreadLocalRandom.current().nextLong(lagMillis * 1_000_000);
      waiting.add(new Unit(clock.last(), System.nanoTime() + Math.max(after, lag), changed));
      changed = new ArrayList<>();
      moved.signalAll();
    }
  }

  /** Wait until everything up to this time is committed, at most so long. */
  boolean await(long time, long mostMillis) {
    writeLock.lock();
    try {
      long left = TimeUnit.MILLISECONDS.toNanos(mostMillis);
      while (Long.compareUnsigned(time(), time) < 0 && left > 0) {
        left = moved.awaitNanos(left);
      }
      return Long.compareUnsigned(time(), time) >= 0;
    } catch (InterruptedException e) {
      throw new CommandError(11602, "operation was interrupted");
    } finally {
      writeLock.unlock();
    }
  }

  @Override
  public void run() {
    writeLock.lock();
    try {
      while (true) {
        moved.awaitNanos(untilNext());
        commitWhatIsDue();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } finally {
      writeLock.unlock();
    }
  }

  private long untilNext() {
    if (held || waiting.isEmpty()) {
      return committed == ALL ? Long.MAX_VALUE : NOTE_NANOS;
    }
    return waiting.getFirst().dueNanos() - System.nanoTime();
  }

  private void commitWhatIsDue() {
    long before = committed;
    while (!held && !waiting.isEmpty() && waiting.getFirst().dueNanos() - System.nanoTime() <= 0) {
      Unit unit = waiting.removeFirst();
      unit.changed().forEach(DocumentCollection::commitOne);
      committed = unit.time();
    }
    if (!held && waiting.isEmpty()) {
      committed = lagMillis > 0 ? clock.last() : ALL;
    }
    if (committed != before) {
      moved.signalAll();
      onCommit.run();
    }
  }
}
