package penstock.source;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** The server's side of one SCRAM login (RFC 5802). */
final class ScramConversation implements LoginConversation {
  private static final SecureRandom RANDOM = new SecureRandom();
  private static final int SALT_BYTES = 16;

  private final boolean sha256;
  private final String user;
  private final String password;
  private String clientFirst;
  private String serverFirst;
  private byte[] salted;
  private boolean done;

  ScramConversation(String mechanism, String user, String password) {
    this.sha256 = mechanism.equals("SCRAM-SHA-256");
    if (!sha256 && !mechanism.equals("SCRAM-SHA-1")) {
      throw new CommandError(334, "Received authentication for mechanism %s which is not enabled".formatted(mechanism));
    }
    this.user = user;
    this.password = password;
  }

  @Override
  public boolean isDone() {
    return done;
  }

  /** Answer the client's first message with salt, iterations and the joined nonce. */
  @Override
  public byte[] begin(byte[] payload) {
    String message = new String(payload, StandardCharsets.UTF_8);
    clientFirst = message.substring(message.indexOf(',', message.indexOf(',') + 1) + 1);
    Map<Character, String> fields = fields(clientFirst);
    if (!user.equals(fields.getOrDefault('n', "").replace("=2C", ",").replace("=3D", "="))) {
      throw Authentication.failed();
    }
    byte[] salt = random(sha256 ? SALT_BYTES + 12 : SALT_BYTES);
    int iterations = sha256 ? 15_000 : 10_000;
    salted = salted(salt, iterations);
    String nonce = fields.get('r') + Base64.getEncoder().withoutPadding().encodeToString(random(24));
    serverFirst = "r=%s,s=%s,i=%d".formatted(nonce, Base64.getEncoder().encodeToString(salt), iterations);
    return serverFirst.getBytes(StandardCharsets.UTF_8);
  }

  /** Check the client's proof, and prove in turn that the password is known here. */
  @Override
  public byte[] finish(byte[] payload) {
    String message = new String(payload, StandardCharsets.UTF_8);
    int proofAt = message.indexOf(",p=");
    if (proofAt < 0 || salted == null) {
      throw Authentication.failed();
    }
    String withoutProof = message.substring(0, proofAt);
    byte[] proof = Base64.getDecoder().decode(message.substring(proofAt + 3));
    String signed = String.join(",", clientFirst, serverFirst, withoutProof);
    byte[] clientKey = hmac(salted, "Client Key");
    byte[] expected = exclusiveOr(clientKey, hmac(digest(clientKey), signed));
    boolean nonceKept = fields(serverFirst).get('r').equals(fields(withoutProof).get('r'));
    if (!nonceKept || !MessageDigest.isEqual(expected, proof)) {
      throw Authentication.failed();
    }
    done = true;
    byte[] signature = hmac(hmac(salted, "Server Key"), signed);
    return ("v=" + Base64.getEncoder().encodeToString(signature)).getBytes(StandardCharsets.UTF_8);
  }

  private static Map<Character, String> fields(String message) {
    Map<Character, String> fields = new TreeMap<>();
    for (String field : message.split(",")) {
      fields.put(field.charAt(0), field.substring(2));
    }
    return fields;
  }

  private static byte[] random(int length) {
    byte[] bytes = new byte[length];
    RANDOM.nextBytes(bytes);
    return bytes;
  }

  private String secret() {
    if (sha256) {
      return password;
    }
    try {
      byte[] hash = MessageDigest.getInstance("MD5")
          .digest((user + ":mongo:" + password).getBytes(StandardCharsets.UTF_8));
      return HexFormat.of().formatHex(hash);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  /** PBKDF2 by hand: Java's own cannot take every password. */
  private byte[] salted(byte[] salt, int iterations) {
    Mac mac = mac(secret().getBytes(StandardCharsets.UTF_8));
    mac.update(salt);
    byte[] step = mac.doFinal(new byte[] {0, 0, 0, 1});
    byte[] result = step;
    for (int i = 1; i < iterations; i++) {
      step = mac.doFinal(step);
      result = exclusiveOr(result, step);
    }
    return result;
  }

  private static byte[] exclusiveOr(byte[] one, byte[] other) {
    byte[] result = new byte[one.length];
    for (int i = 0; i < one.length; i++) {
      result[i] = (byte) (one[i] ^ other[i]);
    }
    return result;
  }

  private byte[] hmac(byte[] key, String text) {
    return mac(key).doFinal(text.getBytes(StandardCharsets.UTF_8));
  }

  private Mac mac(byte[] key) {
    try {
      String name = sha256 ? "HmacSHA256" : "HmacSHA1";
      Mac mac = Mac.getInstance(name);
      mac.init(new SecretKeySpec(key, name));
      return mac;
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  private byte[] digest(byte[] bytes) {
    try {
      return MessageDigest.getInstance(sha256 ? "SHA-256" : "SHA-1").digest(bytes);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }
}
