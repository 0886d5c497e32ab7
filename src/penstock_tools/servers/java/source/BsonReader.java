package penstock.source;

import de.bwaldvogel.mongo.bson.BsonJavaScript;
import de.bwaldvogel.mongo.bson.BsonRegularExpression;
import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Decimal128;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.bson.MaxKey;
import de.bwaldvogel.mongo.bson.MinKey;
import de.bwaldvogel.mongo.bson.ObjectId;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Reads BSON from bytes, front to back. */
final class BsonReader {
  private static final VarHandle INT32 = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle INT64 = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  final byte[] data;
  int position;

  BsonReader(byte[] data, int position) {
    this.data = data;
    this.position = position;
  }

  byte int8() {
    return data[position++];
  }

  int int32() {
    int value = (int) INT32.get(data, position);
    position += 4;
    return value;
  }

  long int64() {
    long value = (long) INT64.get(data, position);
    position += 8;
    return value;
  }

  String cString() {
    int end = position;
    while (data[end] != 0) {
      end++;
    }
    String text = Text.read(data, position, end - position);
    position = end + 1;
    return text;
  }

  String string() {
    int length = int32();
    String text = Text.read(data, position, length - 1);
    position += length;
    return text;
  }

  byte[] bytes(int length) {
    byte[] copy = Arrays.copyOfRange(data, position, position + length);
    position += length;
    return copy;
  }

  /** Take the next document without looking inside. */
  RawDocument rawDocument() {
    return new RawDocument(bytes((int) INT32.get(data, position)));
  }

  Document document() {
    position += 4;
    Document document = new Document();
    for (byte type = int8(); type != 0; type = int8()) {
      String name = cString();
      document.put(name, value(type));
    }
    return document;
  }

  private List<Object> array() {
    position += 4;
    List<Object> array = new ArrayList<>();
    for (byte type = int8(); type != 0; type = int8()) {
      cString();
      array.add(value(type));
    }
    return array;
  }

  Object value(byte type) {
    return switch (type) {
      case 0x01 -> Double.longBitsToDouble(int64());
      case 0x02 -> string();
      case 0x03 -> document();
      case 0x04 -> array();
      case 0x05 -> binary();
      case 0x07 -> new ObjectId(bytes(12));
      case 0x08 -> int8() != 0;
      case 0x09 -> Instant.ofEpochMilli(int64());
      case 0x0A -> null;
      case 0x0B -> new BsonRegularExpression(cString(), cString());
      case 0x0D -> new BsonJavaScript(string());
      case 0x10 -> int32();
      case 0x11 -> new BsonTimestamp(int64());
      case 0x12 -> int64();
      case 0x13 -> new Decimal128(int64(), int64());
      case 0x7F -> MaxKey.getInstance();
      case (byte) 0xFF -> MinKey.getInstance();
      case Opaque.UNDEFINED, Opaque.DB_POINTER, Opaque.SYMBOL, Opaque.CODE_WITH_SCOPE -> opaque(type);
      default -> throw unknown(type);
    };
  }

  private Binary binary() {
    int length = int32();
    byte subtype = int8();
    return new Binary(subtype, bytes(length));
  }

  private Opaque opaque(byte type) {
    int start = position;
    skip(type);
    return new Opaque(type, Arrays.copyOfRange(data, start, position));
  }

  /** Step over a value of this type. */
  void skip(byte type) {
    switch (type) {
      case 0x01, 0x09, 0x11, 0x12 -> position += 8;
      case 0x02, 0x0D, Opaque.SYMBOL -> position += 4 + (int) INT32.get(data, position);
      case 0x03, 0x04, Opaque.CODE_WITH_SCOPE -> position += (int) INT32.get(data, position);
      case 0x05 -> position += 5 + (int) INT32.get(data, position);
      case Opaque.UNDEFINED, 0x0A, 0x7F, (byte) 0xFF -> { }
      case 0x07 -> position += 12;
      case 0x08 -> position += 1;
      case 0x0B -> {
        cString();
        cString();
      }
      case Opaque.DB_POINTER -> position += 16 + (int) INT32.get(data, position);
      case 0x10 -> position += 4;
      case 0x13 -> position += 16;
      default -> throw unknown(type);
    }
  }

  private IllegalArgumentException unknown(byte type) {
    return new IllegalArgumentException("unknown BSON type 0x%02x at byte %d".formatted(type, position));
  }
}
