package penstock.source;

import java.time.Instant;

/** The cluster time as one rising number: seconds in the upper half, an increment in the lower. */
final class ClusterClock {
  private final long noopSeconds;
  private long last;
  private long ahead;

  /** A quiet cluster notes the time at this interval in seconds, so that idle positions do not age. */
  ClusterClock(long noopSeconds) {
    this.noopSeconds = noopSeconds;
    tick();
  }

  private long seconds() {
    return Instant.now().getEpochSecond() + ahead;
  }

  /** Take the next time, later than all before it. */
  synchronized long tick() {
    last = Math.max(last + 1, seconds() << 32 | 1);
    return last;
  }

  /** The time of the latest change; every acknowledged write is at or before it. */
  synchronized long last() {
    return seconds() - (last >>> 32) >= noopSeconds ? tick() : last;
  }

  synchronized void advance(long seconds) {
    ahead += seconds;
  }
}
