package penstock.source;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * The text of BSON as a string of Java. A server stores and compares its bytes, whatever they are: each byte that is not
 * UTF-8 becomes a lone low surrogate, U+DC80 to U+DCFF, and is that byte again when it is written.
 */
final class Text {

  private static final char BYTES = 0xDC00;

  private Text() {
  }

  static String read(byte[] data, int start, int length) {
    String text = new String(data, start, length, StandardCharsets.UTF_8);
    return text.indexOf('\uFFFD') < 0 ? text : readBytes(data, start, length);
  }

  static byte[] written(String text) {
    byte[] encoded = text.getBytes(StandardCharsets.UTF_8);
    for (byte each : encoded) {
      if (each == '?') { // also in the place of what cannot be encoded
        return hasBytes(text) ? writtenBytes(text) : encoded;
      }
    }
    return encoded;
  }

  /** By the bytes: code points, where Java compares UTF-16 units. */
  static int compare(String one, String other) {
    int common = Math.min(one.length(), other.length());
    for (int i = 0; i < common; i++) {
      char first = one.charAt(i);
      char second = other.charAt(i);
      if (first != second) {
        if (isByte(one, i) || isByte(other, i)) {
          return Arrays.compareUnsigned(writtenBytes(one.substring(i)), writtenBytes(other.substring(i)));
        }
        boolean surrogates = Character.isSurrogate(first) != Character.isSurrogate(second);
        return surrogates ? Boolean.compare(Character.isSurrogate(first), Character.isSurrogate(second))
            : first - second;
      }
    }
    return one.length() - other.length();
  }

  private static String readBytes(byte[] data, int start, int length) {
    CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder();
    ByteBuffer in = ByteBuffer.wrap(data, start, length);
    CharBuffer out = CharBuffer.allocate(length);
    for (CoderResult result = decoder.decode(in, out, true); result.isError(); result = decoder.decode(in, out, true)) {
      for (int left = result.length(); left > 0; left--) {
        out.put((char) (BYTES | (in.get() & 0xFF)));
      }
    }
    return out.flip().toString();
  }

  private static byte[] writtenBytes(String text) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    int begun = 0;
    for (int i = 0; i < text.length(); i++) {
      if (isByte(text, i)) {
        out.writeBytes(text.substring(begun, i).getBytes(StandardCharsets.UTF_8));
        out.write(text.charAt(i) & 0xFF);
        begun = i + 1;
      }
    }
    out.writeBytes(text.substring(begun).getBytes(StandardCharsets.UTF_8));
    return out.toByteArray();
  }

  private static boolean hasBytes(String text) {
    for (int i = 0; i < text.length(); i++) {
      if (isByte(text, i)) {
        return true;
      }
    }
    return false;
  }

  private static boolean isByte(String text, int place) {
    return Character.isLowSurrogate(text.charAt(place))
        && (place == 0 || !Character.isHighSurrogate(text.charAt(place - 1)));
  }
}
