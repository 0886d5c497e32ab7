package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;

/** A cursor on the server's side. */
abstract class OpenCursor {
  static final int FIRST_BATCH = 101;

  /** What one reply carries; `position` is where a change stream stands after it. */
  record Batch(List<?> documents, boolean exhausted, Document position) {}

  final String namespace;
  final boolean readsMajority;
  final AtomicBoolean inUse = new AtomicBoolean();
  long id;
  Document session;

  /** Whether the secondary has it; the primary does not know it then. */
  boolean atSecondary;

  /** Set when the server changed its role: the next use of the cursor says so and ends it. */
  volatile boolean interrupted;

  OpenCursor(String namespace, boolean readsMajority) {
    this.namespace = namespace;
    this.readsMajority = readsMajority;
  }

  /** The next documents, at most this many, waiting at most this long for the first. */
  abstract Batch next(int most, long waitMillis);
}
