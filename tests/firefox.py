"""A headless Firefox, spoken to over a socket in its own protocol (Marionette): no driver, no package."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from browser import end

FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)


class Firefox:
    """One page: `open` a file, `run` an expression in it."""

    def __init__(self, connection):
        self.connection, self.number, self.waiting = connection, 0, b""
        self.read()                                             # its greeting
        self.call("WebDriver:NewSession", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})

    def read(self):
        """The next message: its length, a colon, JSON."""
        while b":" not in self.waiting:
            self.waiting += self.receive()
        size, _, self.waiting = self.waiting.partition(b":")
        while len(self.waiting) < int(size):
            self.waiting += self.receive()
        text, self.waiting = self.waiting[: int(size)], self.waiting[int(size):]
        return json.loads(text)

    def receive(self):
        found = self.connection.recv(1 << 20)
        if not found:
            raise RuntimeError("the browser is gone")
        return found

    def call(self, method, **params):
        """The result of a command."""
        self.number += 1
        text = json.dumps([0, self.number, method, params]).encode()
        self.connection.sendall(b"%d:" % len(text) + text)
        _, _, error, result = self.read()
        if error:
            raise RuntimeError(f"{method}: {error}")
        return result

    def open(self, path):
        """Load a file and wait until the page says that it is ready."""
        self.call("WebDriver:Navigate", url=path.resolve().as_uri())
        last = time.monotonic() + 30
        while not self.run("document.documentElement.dataset.ready === 'yes'"):
            if time.monotonic() > last:
                raise RuntimeError("the page does not get ready")
            time.sleep(0.05)

    def run(self, script):
        """The value of an expression in the page's own scope."""
        found = self.call("WebDriver:ExecuteScript", args=[script], script=(
            "const value = window.eval(arguments[0]);"
            "return value === undefined ? null : JSON.stringify(value)"
        ))["value"]
        return None if found is None else json.loads(found)


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def open_firefox():
    """A Firefox with a profile of its own, ended with the block."""
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        (Path(profile) / "user.js").write_text(f'user_pref("marionette.port", {port});\n')
        process = subprocess.Popen(
            [FIREFOX, "--headless", "--no-remote", "--marionette", "--profile", profile],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        try:
            with connect(port) as connection:
                yield Firefox(connection)
        finally:
            end(process)


def connect(port, seconds=60):
    """A socket to a port, once somebody listens there."""
    last = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except OSError:
            if time.monotonic() > last:
                raise
            time.sleep(0.2)
