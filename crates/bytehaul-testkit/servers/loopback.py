"""What the servers of this folder that are written in Python share: HTTP/1.1 on loopback, a thread for each connection."""

import http.server
import socket


class Broken(Exception):
    """The client went away in the middle of its request."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers are written at once, and what Python would log is left to the gate."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server_version = "bytehaul-testkit"
    sys_version = ""

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (Broken, ConnectionError):
            self.close_connection = True

    def answer(self, status, body=b"", headers=()):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def pieces(self, most=1 << 18):
        """The body as it comes, as a client sent it: with a length or in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            yield from self._chunks(most)
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read1(min(left, most))
            if not piece:
                raise Broken
            left -= len(piece)
            yield piece

    def _chunks(self, most):
        while size := self._size():
            while size:
                piece = self.rfile.read1(min(size, most))
                if not piece:
                    raise Broken
                size -= len(piece)
                yield piece
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _size(self):
        line = self.rfile.readline(100)
        try:
            return int(line.split(b";")[0], 16)
        except ValueError:
            raise Broken from None


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def serve(port, handler):
    _Server(("127.0.0.1", port), handler).serve_forever()
