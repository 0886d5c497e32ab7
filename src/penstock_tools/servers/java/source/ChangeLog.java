package penstock.source;

import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;

/**
 * The bounded log of events. What falls off its old end is lost for good, always all events of one cluster time
 * together. Every event has a sequence number, which only grows.
 */
final class ChangeLog {
  private final ClusterClock clock;
  private final EnabledStreams enabled;
  private final int mostEvents;
  private final long mostBytes;
  private final long mostSeconds;
  private final List<Event> events = new ArrayList<>();
  private int head;
  private long dropped;
  private long bytes;
  private long oldestTime;

  /** `mostSeconds` is how long events are kept; 0 means for as long as there is room. */
  ChangeLog(
      ClusterClock clock, EnabledStreams enabled, int mostEvents, long mostBytes,
      long mostSeconds) {
    this.clock = clock;
    this.enabled = enabled;
    this.mostEvents = mostEvents;
    this.mostBytes = mostBytes;
    this.mostSeconds = mostSeconds;
    this.oldestTime = clock.last();
  }

  /** Give the events their times and take in those that are enabled; with `together` all get the same time. */
  synchronized void append(List<Event> added, boolean together) {
    long time = 0;
    int place = 0;
    for (Event event : added) {
      if (time == 0 || !together) {
        time = clock.tick();
        place = 0;
      }
      event.time = time;
      event.place = place++;
      if (enabled.covers(event)) {
        events.add(event);
        bytes += event.size();
      }
    }
    age();
    while (size() > mostEvents || bytes > mostBytes) {
      if (!dropOldestTime()) {
        break;
      }
    }
    notifyAll();
  }

  private int size() {
    return events.size() - head;
  }

  /** Drop the events of the oldest time, unless they are all there is. */
  private boolean dropOldestTime() {
    int end = head;
    while (end < events.size() && events.get(end).time == events.get(head).time) {
      end++;
    }
    if (end == events.size()) {
      return false;
    }
    dropUpTo(end);
    oldestTime = events.get(head).time;
    return true;
  }

  private void dropUpTo(int end) {
    for (int i = head; i < end; i++) {
      bytes -= events.get(i).size();
      events.set(i, null);
    }
    dropped += end - head;
    head = end;
    if (head > 10_000 && head > events.size() / 2) {
      events.subList(0, head).clear();
      head = 0;
    }
  }

  /** Lose all events before this time, as a log does that ran over. */
  synchronized void truncate(long before) {
    forget(before);
    notifyAll();
  }

  private void forget(long before) {
    int end = head;
    while (end < events.size() && Long.compareUnsigned(events.get(end).time, before) < 0) {
      end++;
    }
    dropUpTo(end);
    oldestTime = Math.max(oldestTime, before);
  }

  private void age() {
    if (mostSeconds > 0) {
      forget(((clock.last() >>> 32) - mostSeconds) << 32);
    }
  }

  /** The earliest cluster time from which nothing is lost. */
  synchronized long oldestTime() {
    age();
    return oldestTime;
  }

  /** The sequence number that the next event will get. */
  synchronized long end() {
    return dropped + size();
  }

  /** The sequence number of the first event at or after this time. */
  long firstAt(long time) {
    return firstAfter(time, -1);
  }

  /** The sequence number of the first event after this place among the events of this time. */
  synchronized long firstAfter(long time, int place) {
    int low = head;
    int high = events.size();
    while (low < high) {
      int middle = (low + high) >>> 1;
      Event event = events.get(middle);
      int difference = Long.compareUnsigned(event.time, time);
      if (difference < 0 || difference == 0 && event.place <= place) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return dropped + low - head;
  }

  /** The sequence number after the last event up to this time. */
  private long committedEnd(long time) {
    boolean all = size() == 0 || Long.compareUnsigned(events.getLast().time, time) <= 0;
    return all ? end() : firstAt(time + 1);
  }

  /** What a reader at a place of the log gets: events, or the fact that they are lost. */
  record Stretch(List<Event> events, boolean lost, long quietSince) {}

  /** Up to `most` events from this sequence number on, of those up to this time. */
  synchronized Stretch read(long sequence, int most, long time) {
    age();
    if (sequence < dropped) {
      return new Stretch(List.of(), true, 0);
    }
    int from = head + (int) (sequence - dropped);
    int to = (int) Math.max(from, Math.min(head + committedEnd(time) - dropped, from + most));
    List<Event> read = new ArrayList<>(events.subList(from, to));
    return new Stretch(read, false, read.isEmpty() ? time : 0);
  }

  /** Wait until something happens: events from this sequence number on, the time being up, or a wake-up. */
  synchronized void await(long sequence, long deadlineNanos, LongSupplier shownUpTo) throws InterruptedException {
    long left = (deadlineNanos - System.nanoTime()) / 1_000_000 + 1;
    if (committedEnd(shownUpTo.getAsLong()) <= sequence && left > 0) {
      wait(left);
    }
  }

  synchronized void wakeAll() {
    notifyAll();
  }
}
