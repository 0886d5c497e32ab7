package penstock.source;

import java.util.List;

/** What is known of Amazon DocumentDB 8.0, which is little: in the rest it is taken to be as 5.0. */
final class DocumentDb80 extends DocumentDb50 {
  DocumentDb80() {
    super(List.of(8, 0, 0, 0), 25);
  }

  @Override
  boolean knowsViews() {
    return true;
  }
}
