package penstock.source;

import de.bwaldvogel.mongo.backend.Missing;
import de.bwaldvogel.mongo.bson.Document;
import java.util.List;
import java.util.regex.Pattern;

/** Dotted paths into documents. */
final class Paths {
  private static final Pattern DOT = Pattern.compile("\\.");

  private Paths() {}

  static String[] split(String path) {
    return path.indexOf('.') < 0 ? new String[] {path} : DOT.split(path, -1);
  }

  /** The value at a path, by field names and array positions; Missing where there is none. */
  static Object get(Object container, String path) {
    Object value = container;
    for (String part : split(path)) {
      value = child(value, part);
    }
    return value;
  }

  static Object child(Object container, String part) {
    if (container instanceof Document document) {
      return document.getOrMissing(part);
    }
    if (container instanceof List<?> list) {
      int position = position(part);
      return position >= 0 && position < list.size() ? list.get(position) : Missing.getInstance();
    }
    return Missing.getInstance();
  }

  /** The array position that a part of a path means, or -1. */
  static int position(String part) {
    if (part.isEmpty() || part.length() > 7) {
      return -1;
    }
    for (int i = 0; i < part.length(); i++) {
      if (part.charAt(i) < '0' || part.charAt(i) > '9') {
        return -1;
      }
    }
    return Integer.parseInt(part);
  }

  static String join(String[] parts, int from, int to) {
    return String.join(".", java.util.Arrays.asList(parts).subList(from, to));
  }

  /** Whether one path is the other or leads into it. */
  static boolean overlap(String one, String other) {
    return one.equals(other) || one.startsWith(other + ".") || other.startsWith(one + ".");
  }
}
