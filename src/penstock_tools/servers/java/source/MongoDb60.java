package penstock.source;

import java.util.List;
import java.util.Set;

/** MongoDB 6.0, which can keep what a document was before a change. */
final class MongoDb60 extends MongoDb50 {
  MongoDb60() {
    super(List.of(6, 0, 0, 0), 17);
  }

  @Override
  Set<String> streamOptions() {
    return Set.of("fullDocument", "fullDocumentBeforeChange", "resumeAfter", "startAfter", "startAtOperationTime",
        "allChangesForCluster");
  }

  @Override
  boolean keepsBeforeImages() {
    return true;
  }
}
