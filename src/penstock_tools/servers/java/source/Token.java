package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A resume token: a cluster time, a place among the events of that time, and what the event was about.
 *
 * <p>Its text begins like a real server's: 82, then the cluster time as 8 bytes, and it rises with the position. The
 * types of numbers are kept outside of it, in `_typeBits`, so the whole document is the token.
 */
record Token(long time, int place, UUID uuid, boolean highWater, boolean invalidate) implements Comparable<Token> {

  private static final HexFormat HEX = HexFormat.of().withUpperCase();
  private static final String UUID_MARK = "5A1004";
  private static final String KEY_MARK = "5F696400";
  private static final String END_MARK = "0004";
  private static final Pattern ENDED = Pattern.compile("0004(00)*$");
  private static final int TYPE_OFFSET = 40;
  private static final int NUMBER_TYPE = BsonOrder.bracket(0) + TYPE_OFFSET;

  /** The place after every event of its time. */
  private static final int LAST_PLACE = Integer.MAX_VALUE;

  static Token of(Event event) {
    return new Token(event.time, event.place, event.uuid, false, false);
  }

  /** After every event of this time. */
  static Token afterAll(long time) {
    return new Token(time, LAST_PLACE, null, true, false);
  }

  /** Before every event of this time. */
  static Token from(long time) {
    return new Token(time, -1, null, true, false);
  }

  /** The token of this place among the events of this time, or after all of them. */
  static Token at(long time, long place) {
    return place < LAST_PLACE ? new Token(time, (int) place, null, false, false) : afterAll(time);
  }

  Token asInvalidate() {
    return new Token(time, place, uuid, false, true);
  }

  @Override
  public int compareTo(Token other) {
    int difference = Long.compareUnsigned(time, other.time);
    return difference != 0 ? difference : Integer.compare(place, other.place);
  }

  /** The token as the 4.0 servers write it. */
  Document asOldDocument(Object id) {
    StringBuilder text = new StringBuilder("82").append(HEX.toHexDigits(time)).append("29").append(number(place));
    return finish(text, id);
  }

  /** The token as servers since 4.2 write it: with a version, a kind, and whether it stems from an invalidate. */
  Document asNewDocument(Object id) {
    StringBuilder text = new StringBuilder("82").append(HEX.toHexDigits(time)).append("2B02");
    if (highWater) {
      return new Document("_data", text.append("29296E04").toString());
    }
    text.append("2C0100").append(number(place)).append(invalidate ? "6F" : "6E");
    return finish(text, id);
  }

  private Document finish(StringBuilder text, Object id) {
    if (uuid == null) {
      return new Document("_data", text.append("04").toString());
    }
    text.append(UUID_MARK).append(HEX.formatHex(uuidBytes(uuid)));
    if (id == NO_KEY) {
      return new Document("_data", text.append("04").toString());
    }
    String type = HEX.toHexDigits((byte) (BsonOrder.bracket(id) + TYPE_OFFSET));
    text.append("46").append(type).append(KEY_MARK).append(type).append(HEX.formatHex(keyBytes(id))).append(END_MARK);
    Document token = new Document("_data", text.toString());
    byte[] typeBits = typeBits(id);
    return typeBits == null ? token : token.append("_typeBits", new Binary(Binary.GENERIC, typeBits));
  }

  /** Stands for the absent key of an event about a whole collection. */
  static final Object NO_KEY = new Object();

  private static byte[] keyBytes(Object id) {
    BsonWriter key = new BsonWriter();
    if (id instanceof String text) {
      key.cString(text);
    } else {
      key.payload(id);
    }
    return key.toBytes();
  }

  private static byte[] typeBits(Object id) {
    return switch (Types.bsonType(id)) {
      case 1 -> new byte[] {0x10};
      case 18 -> new byte[] {0x20};
      case 19 -> new byte[] {0x30};
      default -> null;
    };
  }

  private static byte[] uuidBytes(UUID uuid) {
    return ByteBuffer.allocate(16).putLong(uuid.getMostSignificantBits()).putLong(uuid.getLeastSignificantBits())
        .array();
  }

  /** Small numbers as the servers sort them: the first byte says how many follow. */
  private static String number(int value) {
    long doubled = 2L * value;
    if (value == 0) {
      return "29";
    }
    String digits = Long.toHexString(doubled).toUpperCase();
    digits = digits.length() % 2 == 0 ? digits : "0" + digits;
    return HEX.toHexDigits((byte) (0x2A + digits.length() / 2)) + digits;
  }

  /** Read a token that came back; a damaged one is refused with the codes that were recorded. */
  static Token parse(Document given) {
    if (given.get("_data") instanceof Binary old) {
      throw new CommandError(15,
          "Invalid advance (8) past end of buffer[%d] at offset: 0".formatted(old.data().length - 1));
    }
    if (!(given.get("_data") instanceof String text)) {
      throw new CommandError(40647, "Bad resume token: _data of missing or of wrong type" + Types.text(given));
    }
    byte[] bytes = bytes(text);
    if (bytes.length == 0) {
      throw unknownType(99);
    }
    ByteBuffer rest = ByteBuffer.wrap(bytes);
    if (rest.get() != (byte) 0x82 || rest.remaining() < 8) {
      throw incomplete();
    }
    long time = rest.getLong();
    if (rest.remaining() == 0) {
      throw incomplete();
    }
    return rest.get(rest.position()) == 0x04 ? new Token(time, 0, null, false, false) : parseRest(time, rest, given);
  }

  private static Token parseRest(long time, ByteBuffer rest, Document given) {
    try {
      boolean versioned = rest.get(rest.position()) == 0x2B;
      boolean highWater = false;
      if (versioned) {
        rest.getShort();
        highWater = readNumber(rest) == 0;
      } else {
        rest.get();
      }
      int place = highWater ? -1 : readNumber(rest);
      boolean invalidate = versioned && !highWater && rest.get() == 0x6F;
      UUID uuid = highWater || rest.get(rest.position()) == 0x04 ? null : readUuid(rest);
      if (uuid != null) {
        checkKey(rest, given, versioned);
      }
      return new Token(time, place, uuid, highWater, invalidate);
    } catch (java.nio.BufferUnderflowException | IndexOutOfBoundsException e) {
      throw unknownType(71);
    }
  }

  private static int readNumber(ByteBuffer from) {
    int length = (from.get() & 0xFF) - 0x2A;
    if (length < 0) {
      return 0;
    }
    long doubled = 0;
    for (int i = 0; i < length; i++) {
      doubled = doubled << 8 | from.get() & 0xFF;
    }
    return (int) (doubled / 2);
  }

  private static UUID readUuid(ByteBuffer from) {
    if (from.get() != 0x5A || from.get() != 0x10 || from.get() != 0x04) {
      throw unknownType(0);
    }
    return new UUID(from.getLong(), from.getLong());
  }

  /** Refuse what is no token of servers since 4.2, which have a version in it, with the codes that were recorded. */
  static void checkVersioned(Document given) {
    if (!(given.get("_data") instanceof String text)) {
      throw new CommandError(40647,
          "Bad resume token: _data of missing or of wrong type. Expected string, got " + Types.text(given));
    }
    if (text.isEmpty()) {
      throw new CommandError(40649, "invalid empty resume token");
    }
    byte[] bytes = bytes(text);
    if (bytes[0] != (byte) 0x82) {
      throw unknownType(0);
    }
    if (bytes.length <= Long.BYTES) {
      throw new CommandError(15, "Invalid advance (8) past end of buffer[%d] at offset: 0".formatted(bytes.length - 1));
    }
    checkVersion(ByteBuffer.wrap(bytes, 1 + Long.BYTES, bytes.length - 1 - Long.BYTES));
  }

  private static void checkVersion(ByteBuffer rest) {
    if (rest.remaining() < 2 || rest.get(rest.position()) == 0x04) {
      throw new CommandError(50796, "Resume Token does not contain version");
    }
    if (rest.get(rest.position()) != 0x2B) {
      throw new CommandError(50854, "Invalid resume token: wrong type for version");
    }
    if (readNumber(rest) > 1) {
      throw new CommandError(50795, "Invalid Resume Token: only supports version 0 or 1");
    }
  }

  /** A number's `_typeBits` belong to the old servers' tokens: without them the key cannot be read. */
  private static void checkKey(ByteBuffer rest, Document given, boolean versioned) {
    if (rest.get() == 0x04) {
      return;
    }
    int type = rest.get() & 0xFF;
    Matcher end = ENDED.matcher((String) given.get("_data"));
    if (!end.find()) {
      throw unknownType(71);
    }
    int length = end.start() / 2 - rest.position() - KEY_MARK.length() / 2 - 1;
    if (!versioned && type == NUMBER_TYPE && length > Integer.BYTES && given.get("_typeBits") == null) {
      throw incomplete();
    }
  }

  private static byte[] bytes(String text) {
    try {
      return HEX.parseHex(text);
    } catch (IllegalArgumentException e) {
      throw new CommandError(CommandError.FAILED_TO_PARSE, "resume token string was not a valid hex string");
    }
  }

  private static CommandError incomplete() {
    return new CommandError(50810, "Expected type Decimal.");
  }

  private static CommandError unknownType(int type) {
    return new CommandError(50811, "Unknown type: " + type);
  }
}
