package penstock.source;

/** The sizes that the protocol sets. */
final class Limits {
  static final int DOCUMENT_BYTES = 16 * 1024 * 1024;
  static final int EVENT_BYTES = DOCUMENT_BYTES + 16 * 1024;
  static final int MESSAGE_BYTES = 48_000_000;
  static final int WRITES_PER_COMMAND = 100_000;

  private Limits() {}
}
