"""A proxy before an API server that fails exec streams at random, and nothing else."""
import random
import re
import socket
import ssl
import threading

EXEC = re.compile(rb"^\S+ \S*/exec[?/ ]")


class Proxy:
    """Serves plain HTTP on loopback; `share` of the exec streams fail: refused, or cut after up to two seconds."""

    def __init__(self, server, context, share, seed=1):
        self.server, self.context, self.share = server, context, share
        self.random, self.execs, self.failed = random.Random(seed), 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def close(self):
        """Takes no more connections."""
        self.listener.close()

    def _serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            part = client.recv(65536)
            if not part:
                client.close()
                return
            head += part
        cut_after = None
        if EXEC.match(head):
            self.execs += 1
            if self.random.random() < self.share:
                self.failed += 1
                if self.random.random() < 0.5:
                    client.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    client.close()
                    return
                cut_after = self.random.uniform(0, 2)
        elif b"\r\nupgrade:" not in head.lower():
            # One request per connection, so that every exec has one of its own.
            head = re.sub(rb"\r\nconnection:[^\r]*", b"", head, flags=re.I).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        upstream = self.context.wrap_socket(socket.create_connection(self.server), server_hostname=self.server[0])
        upstream.sendall(head)
        if cut_after is not None:
            threading.Timer(cut_after, shut, (client, upstream)).start()
        threading.Thread(target=pump, args=(client, upstream), daemon=True).start()
        pump(upstream, client)


def pump(source, sink):
    """Carries bytes until either side ends, then ends both."""
    try:
        while part := source.recv(65536):
            sink.sendall(part)
    except OSError:
        pass
    shut(source, sink)


def shut(*sockets):
    """Ends connections for whoever reads them."""
    for one in sockets:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
