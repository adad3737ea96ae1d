"""A wire between a node and the broker that can be made deaf, and cut."""

import contextlib
import socket
import threading


class Proxy:
    """Passes bytes between clients and a port on 127.0.0.1. `is_deaf` swallows what the broker says; `cut` resets."""

    def __init__(self, port: int) -> None:
        self.is_deaf = False
        self._target = port
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def connections(self) -> int:
        """Return how many connections were made so far."""
        return len(self._pairs)

    def cut(self) -> None:
        """Reset every connection."""
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut everything and accept no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for pair in self._pairs:
            for end in pair:
                end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", self._target))
            self._pairs.append((client, broker))
            for source, sink, is_answer in ((client, broker, False), (broker, client, True)):
                thread = threading.Thread(target=self._pass, args=(source, sink, is_answer), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not (is_answer and self.is_deaf):
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)
