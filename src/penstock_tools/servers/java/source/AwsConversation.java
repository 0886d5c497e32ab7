package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.security.SecureRandom;
import java.util.Arrays;

/**
 * The server's side of a login by AWS credentials (MONGODB-AWS). A real server lets AWS check the signed request; here
 * the access key that signed it decides, and the signature only has to be there.
 */
final class AwsConversation implements LoginConversation {
  private static final SecureRandom RANDOM = new SecureRandom();
  private static final int NONCE_BYTES = 32;

  private final String accessKey;
  private boolean done;

  AwsConversation(String accessKey) {
    this.accessKey = accessKey;
  }

  /** Lengthen the client's nonce, and name the service for which it must sign. */
  @Override
  public byte[] begin(byte[] payload) {
    if (!(new BsonReader(payload, 0).document().get("r") instanceof Binary nonce)
        || nonce.data().length != NONCE_BYTES) {
      throw Authentication.failed();
    }
    byte[] both = Arrays.copyOf(nonce.data(), 2 * NONCE_BYTES);
    byte[] own = new byte[NONCE_BYTES];
    RANDOM.nextBytes(own);
    System.arraycopy(own, 0, both, NONCE_BYTES, NONCE_BYTES);
    return BsonWriter.encode(new Document("s", new Binary(Binary.GENERIC, both)).append("h", "sts.amazonaws.com"));
  }

  @Override
  public byte[] finish(byte[] payload) {
    String signed = String.valueOf(new BsonReader(payload, 0).document().get("a"));
    if (!signed.startsWith("AWS4-HMAC-SHA256 Credential=" + accessKey + "/") || !signed.contains("Signature=")) {
      throw Authentication.failed();
    }
    done = true;
    return new byte[0];
  }

  @Override
  public boolean isDone() {
    return done;
  }
}
