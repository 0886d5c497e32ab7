package penstock.source;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The command line. */
record ServerOptions(
    String bind, int port, String mode, int logSize, long logSeconds, boolean oneTimePerCommand,
    boolean refusesUnenabled, long majorityLagMillis, String user, String password, String tlsCertificate, String tlsKey,
    String tlsClientAuthority, boolean hasSecondary, String awsKey) {

  private static final String PASSWORD_VARIABLE = "PENSTOCK_SOURCE_PASSWORD";
  private static final List<String> SWITCHES = List.of("--one-time-per-command", "--secondary");
  private static final List<String> VALUED = List.of("--bind", "--port", "--mode", "--log-size",
      "--log-retention-s", "--unenabled-streams", "--majority-lag-ms", "--user", "--password", "--tls-cert", "--tls-key",
      "--tls-client-ca", "--aws-key");

  static ServerOptions parse(String[] arguments, Map<String, String> environment) {
    Map<String, String> flags = new HashMap<>();
    for (int i = 0; i < arguments.length; i++) {
      if (SWITCHES.contains(arguments[i])) {
        flags.put(arguments[i], "");
      } else if (VALUED.contains(arguments[i]) && i + 1 < arguments.length) {
        flags.put(arguments[i], arguments[++i]);
      } else {
        throw new IllegalArgumentException("unknown flag or missing value: " + arguments[i]);
      }
    }
    String password = flags.getOrDefault("--password", environment.get(PASSWORD_VARIABLE));
    if (flags.containsKey("--user") && password == null && !flags.containsKey("--tls-client-ca")) {
      throw new IllegalArgumentException("--user needs a password, in " + PASSWORD_VARIABLE + " or --password");
    }
    if (flags.containsKey("--tls-cert") != flags.containsKey("--tls-key")) {
      throw new IllegalArgumentException("--tls-cert and --tls-key belong together");
    }
    if (flags.containsKey("--tls-client-ca") && !flags.containsKey("--tls-cert")) {
      throw new IllegalArgumentException("--tls-client-ca needs --tls-cert and --tls-key");
    }
    String unenabled = flags.getOrDefault("--unenabled-streams", "refuse");
    if (!List.of("refuse", "silent").contains(unenabled)) {
      throw new IllegalArgumentException("--unenabled-streams takes refuse or silent, not " + unenabled);
    }
    return new ServerOptions(
        flags.getOrDefault("--bind", "127.0.0.1"),
        Integer.parseInt(flags.getOrDefault("--port", "0")),
        flags.getOrDefault("--mode", "mongodb-5.0"),
        Integer.parseInt(flags.getOrDefault("--log-size", "1000000")),
        Long.parseLong(flags.getOrDefault("--log-retention-s", "0")),
        flags.containsKey("--one-time-per-command"),
        unenabled.equals("refuse"),
        Long.parseLong(flags.getOrDefault("--majority-lag-ms", "0")),
        flags.get("--user"),
        password,
        flags.get("--tls-cert"),
        flags.get("--tls-key"),
        flags.get("--tls-client-ca"),
        flags.containsKey("--secondary"),
        flags.get("--aws-key"));
  }

  boolean asksForLogin() {
    return user != null || awsKey != null;
  }

  /** Whether who logs in is whom a client's certificate names. */
  boolean asksForSubject() {
    return user != null && password == null;
  }

  boolean usesTls() {
    return tlsCertificate != null;
  }
}
