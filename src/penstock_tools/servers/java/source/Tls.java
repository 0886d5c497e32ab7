package penstock.source;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ServerSocketFactory;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;

/** Server sockets that speak TLS with a certificate and a PKCS #8 key from PEM files. */
final class Tls {
  private static final Pattern KEY = Pattern.compile("-----BEGIN PRIVATE KEY-----(.*?)-----END PRIVATE KEY-----",
      Pattern.DOTALL);
  private static final char[] NO_PASSWORD = new char[0];

  private Tls() {}

  static ServerSocketFactory sockets(ServerOptions options) throws IOException, GeneralSecurityException {
    Certificate[] chain = certificates(options.tlsCertificate());
    KeyStore store = emptyStore();
    store.setKeyEntry("source", key(Path.of(options.tlsKey())), NO_PASSWORD, chain);
    KeyManagerFactory managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    managers.init(store, NO_PASSWORD);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(managers.getKeyManagers(), trusted(options.tlsClientAuthority()), null);
    return context.getServerSocketFactory();
  }

  /** Whose clients' certificates are taken; null for nobody's. */
  private static TrustManager[] trusted(String authority) throws IOException, GeneralSecurityException {
    if (authority == null) {
      return null;
    }
    KeyStore store = emptyStore();
    for (Certificate certificate : certificates(authority)) {
      store.setCertificateEntry("authority-" + store.size(), certificate);
    }
    TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    managers.init(store);
    return managers.getTrustManagers();
  }

  private static KeyStore emptyStore() throws IOException, GeneralSecurityException {
    KeyStore store = KeyStore.getInstance("PKCS12");
    store.load(null, NO_PASSWORD);
    return store;
  }

  private static Certificate[] certificates(String file) throws IOException, GeneralSecurityException {
    byte[] pem = Files.readAllBytes(Path.of(file));
    return CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(pem))
        .toArray(new Certificate[0]);
  }

  private static PrivateKey key(Path file) throws IOException, GeneralSecurityException {
    Matcher found = KEY.matcher(Files.readString(file));
    if (!found.find()) {
      throw new InvalidKeySpecException(
          file + " holds no PKCS #8 key: its first line should be -----BEGIN PRIVATE KEY-----");
    }
    PKCS8EncodedKeySpec encoded = new PKCS8EncodedKeySpec(Base64.getMimeDecoder().decode(found.group(1)));
    for (String algorithm : List.of("RSA", "EC")) {
      try {
        return KeyFactory.getInstance(algorithm).generatePrivate(encoded);
      } catch (InvalidKeySpecException e) {
        continue;
      }
    }
    throw new InvalidKeySpecException(file + " holds neither an RSA nor an EC key");
  }
}
