package penstock.source;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/** A cursor over documents that are there: of a find or an aggregation. */
final class DocumentCursor extends OpenCursor {
  private final Iterator<RawDocument> documents;
  private RawDocument ahead;

  DocumentCursor(String namespace, Iterator<RawDocument> documents, boolean readsMajority) {
    super(namespace, readsMajority);
    this.documents = documents;
  }

  @Override
  Batch next(int most, long waitMillis) {
    List<RawDocument> batch = new ArrayList<>();
    long bytes = 0;
    while (batch.size() < most && advance()) {
      bytes += ahead.bytes().length;
      if (bytes > Limits.DOCUMENT_BYTES && !batch.isEmpty()) {
        break;
      }
      batch.add(ahead);
      ahead = null;
    }
    return new Batch(batch, most > 0 && !advance(), null);
  }

  private boolean advance() {
    if (ahead == null && documents.hasNext()) {
      ahead = documents.next();
    }
    return ahead != null;
  }
}
