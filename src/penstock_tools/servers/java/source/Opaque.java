package penstock.source;

import java.util.Arrays;

/** A BSON value that is stored and compared by its bytes alone: undefined, symbol, DBPointer, code with scope. */
record Opaque(byte type, byte[] payload) {
  static final byte UNDEFINED = 0x06;
  static final byte DB_POINTER = 0x0C;
  static final byte SYMBOL = 0x0E;
  static final byte CODE_WITH_SCOPE = 0x0F;

  @Override
  public boolean equals(Object other) {
    return other instanceof Opaque that && type == that.type && Arrays.equals(payload, that.payload);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(payload) * 31 + type;
  }
}
