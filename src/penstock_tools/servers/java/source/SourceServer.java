package penstock.source;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.security.GeneralSecurityException;
import javax.net.ServerSocketFactory;
import javax.net.ssl.SSLServerSocket;

/**
 * The local source: a one-member replica set that keeps its documents in memory. It says READY and its port when it
 * takes connections, and ends when its standard input does.
 */
public final class SourceServer {
  private SourceServer() {}

  public static void main(String[] arguments) throws IOException {
    ServerOptions options;
    ServerSocket server;
    ServerSocket secondary;
    try {
      options = ServerOptions.parse(arguments, System.getenv());
      server = listening(options, options.port());
      secondary = options.hasSecondary() ? listening(options, 0) : null;
    } catch (IllegalArgumentException | IOException | GeneralSecurityException e) {
      System.err.println("The source cannot start: " + e.getMessage());
      System.exit(2);
      return;
    }
    ServerState state = new ServerState(options);
    state.primaryPort = server.getLocalPort();
    Commands commands = new Commands(state);
    Thread.ofPlatform().daemon().name("expiry").start(new Expiry(state));
    Thread.ofPlatform().daemon().name("majority").start(state.majority);
    Thread.ofPlatform().daemon().name("accept").start(() -> accept(server, commands));
    if (secondary != null) {
      state.secondary = new Secondary(secondary.getLocalPort(), state);
      Thread.ofPlatform().daemon().name("accept at the secondary").start(() -> accept(secondary, commands));
    }
    System.out.println("READY " + server.getLocalPort());
    awaitEndOfInput();
    System.exit(0);
  }

  private static ServerSocket listening(ServerOptions options, int port) throws IOException, GeneralSecurityException {
    ServerSocket server = sockets(options).createServerSocket(port, 0, InetAddress.getByName(options.bind()));
    if (server instanceof SSLServerSocket secure) {
      secure.setNeedClientAuth(options.tlsClientAuthority() != null);
    }
    return server;
  }

  private static ServerSocketFactory sockets(ServerOptions options) throws IOException, GeneralSecurityException {
    return options.usesTls() ? Tls.sockets(options) : ServerSocketFactory.getDefault();
  }

  private static void accept(ServerSocket server, Commands commands) {
    while (true) {
      try {
        Socket socket = server.accept();
        socket.setTcpNoDelay(true);
        Thread.ofPlatform().daemon().name("connection").start(new ClientConnection(socket, commands));
      } catch (IOException e) {
        System.err.println("a connection was not taken: " + e.getMessage());
      }
    }
  }

  private static void awaitEndOfInput() throws IOException {
    byte[] ignored = new byte[256];
    while (System.in.read(ignored) >= 0) {
      continue;
    }
  }
}
