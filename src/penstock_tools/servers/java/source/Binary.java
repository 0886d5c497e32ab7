package penstock.source;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.UUID;

/** Binary data of any subtype, UUIDs included. For subtype 2 `data` holds the inner length too. */
record Binary(byte subtype, byte[] data) {
  static final byte GENERIC = 0;
  private static final byte UUID_SUBTYPE = 4;

  static Binary of(UUID uuid) {
    ByteBuffer bytes = ByteBuffer.allocate(16).putLong(uuid.getMostSignificantBits())
        .putLong(uuid.getLeastSignificantBits());
    return new Binary(UUID_SUBTYPE, bytes.array());
  }

  /** The data of 16 bytes as the UUID that it is. */
  UUID asUuid() {
    ByteBuffer bytes = ByteBuffer.wrap(data);
    return new UUID(bytes.getLong(), bytes.getLong());
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Binary that && subtype == that.subtype && Arrays.equals(data, that.data);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(data) * 31 + subtype;
  }
}
