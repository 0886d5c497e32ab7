package penstock.source;

/** The server's side of one login in two messages. */
interface LoginConversation {
  byte[] begin(byte[] payload);

  byte[] finish(byte[] payload);

  /** Whether it has succeeded. */
  boolean isDone();
}
