package penstock.source;

import de.bwaldvogel.mongo.backend.Missing;
import de.bwaldvogel.mongo.bson.BsonJavaScript;
import de.bwaldvogel.mongo.bson.BsonRegularExpression;
import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Decimal128;
import de.bwaldvogel.mongo.bson.MaxKey;
import de.bwaldvogel.mongo.bson.MinKey;
import de.bwaldvogel.mongo.bson.ObjectId;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.time.Instant;
import java.util.Arrays;
import java.util.Collection;
import java.util.Map;
import java.util.UUID;

/** Writes BSON into a growing buffer. */
final class BsonWriter {
  private static final VarHandle INT32 = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle INT64 = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  private byte[] buffer = new byte[1024];
  private int size;

  static byte[] encode(Map<String, ?> document) {
    BsonWriter writer = new BsonWriter();
    writer.document(document);
    return writer.toBytes();
  }

  byte[] buffer() {
    return buffer;
  }

  int size() {
    return size;
  }

  byte[] toBytes() {
    return Arrays.copyOf(buffer, size);
  }

  void int8(int value) {
    room(1);
    buffer[size++] = (byte) value;
  }

  void int32(int value) {
    room(4);
    INT32.set(buffer, size, value);
    size += 4;
  }

  void int64(long value) {
    room(8);
    INT64.set(buffer, size, value);
    size += 8;
  }

  void bytes(byte[] bytes) {
    bytes(bytes, 0, bytes.length);
  }

  void bytes(byte[] bytes, int from, int length) {
    room(length);
    System.arraycopy(bytes, from, buffer, size, length);
    size += length;
  }

  void setInt32(int at, int value) {
    INT32.set(buffer, at, value);
  }

  private void room(int wanted) {
    if (size + wanted > buffer.length) {
      buffer = Arrays.copyOf(buffer, Math.max(size + wanted, buffer.length * 2));
    }
  }

  /** Begin a document and answer its start, which `end` needs. */
  int begin() {
    int start = size;
    int32(0);
    return start;
  }

  void end(int start) {
    int8(0);
    setInt32(start, size - start);
  }

  void document(Map<String, ?> document) {
    int start = begin();
    document.forEach(this::element);
    end(start);
  }

  void cString(String text) {
    bytes(Text.written(text));
    int8(0);
  }

  private void string(String text) {
    byte[] encoded = Text.written(text);
    int32(encoded.length + 1);
    bytes(encoded);
    int8(0);
  }

  private void header(int type, String name) {
    int8(type);
    cString(name);
  }

  /** Begin an array or document within a document. */
  int beginElement(int type, String name) {
    header(type, name);
    return begin();
  }

  void element(String name, Object value) {
    int type = Types.bsonType(value);
    header(type, name);
    payload(value);
  }

  /** The value's bytes without type and name. */
  void payload(Object value) {
    switch (value) {
      case null -> { }
      case Double number -> int64(Double.doubleToRawLongBits(number));
      case String text -> string(text);
      case RawDocument raw -> bytes(raw.bytes());
      case Map<?, ?> map -> anyMap(map);
      case Collection<?> items -> array(items);
      case Binary binary -> binary(binary);
      case UUID uuid -> binary(Binary.of(uuid));
      case ObjectId id -> bytes(id.toByteArray());
      case Boolean truth -> int8(truth ? 1 : 0);
      case Instant time -> int64(time.toEpochMilli());
      case BsonRegularExpression regex -> {
        cString(regex.getPattern());
        cString(regex.getOptions() == null ? "" : regex.getOptions());
      }
      case BsonJavaScript code -> string(code.getCode());
      case Integer number -> int32(number);
      case BsonTimestamp time -> int64(time.getValue());
      case Long number -> int64(number);
      case Decimal128 number -> {
        int64(number.getLow());
        int64(number.getHigh());
      }
      case Opaque opaque -> bytes(opaque.payload());
      case MinKey ignored -> { }
      case MaxKey ignored -> { }
      case Missing ignored -> { }
      default -> throw new IllegalArgumentException("no BSON for " + value.getClass());
    }
  }

  @SuppressWarnings("unchecked")
  private void anyMap(Map<?, ?> map) {
    document((Map<String, ?>) map);
  }

  private void array(Collection<?> items) {
    int start = begin();
    int index = 0;
    for (Object item : items) {
      element(Integer.toString(index++), item);
    }
    end(start);
  }

  private void binary(Binary binary) {
    int32(binary.data().length);
    int8(binary.subtype());
    bytes(binary.data());
  }
}
