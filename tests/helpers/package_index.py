"""A package index on the loopback, with wheels made here: for installing without a network, and with a bad one."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


def write_wheel(folder: Path, name: str, version: str, requires: tuple[str, ...] = (), padding: int = 0) -> Path:
    """A wheel whose one module says its version; `padding` bytes of it make a download worth breaking."""
    package = name.replace("-", "_")
    info = f"{package}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{package}/__init__.py": f"__version__ = {version!r}\n".encode(),
        f"{package}/padding": bytes(i * 7 % 251 for i in range(997)) * (padding // 997),
        f"{info}/METADATA": (metadata + "".join(f"Requires-Dist: {text}\n" for text in requires)).encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    return _zip(folder, f"{package}-{version}-py3-none-any.whl", info, files)


def write_pip(folder: Path) -> Path:
    """The pip that the lock has, as a wheel again."""
    pip = importlib.metadata.distribution("pip")
    info = f"pip-{pip.version}.dist-info"
    left_out = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
    paths = [path for path in pip.files or [] if path.parts[0] in ("pip", info) and path.suffix != ".pyc"]
    files = {str(path): path.locate().read_bytes() for path in paths if path.name not in left_out}
    return _zip(folder, f"pip-{pip.version}-py3-none-any.whl", info, files)


def _zip(folder: Path, name: str, info: str, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_STORED) as wheel:
        for path, content in {**files, f"{info}/RECORD": record.encode()}.items():
            wheel.writestr(path, content)
    return folder / name


class Index:
    """Folders of wheels as indexes, each under its name: `{address}/{folder}/`."""

    def __init__(self, root: Path):
        self.root = root
        self.asked: list[tuple[str, str]] = []  # method and path of every request, with its Range where it had one
        self.breaks: dict[str, int] = {}  # how often a file's download breaks off half-way
        self.silent: set[str] = set()  # folders that take a request and never answer
        self.stalls: set[str] = set()  # files of which half is sent, and then nothing more
        self.ended = threading.Event()
        self.address = ""

    def page(self, folder: str, package: str) -> str | None:
        """The links to a package's wheels; None where there are none."""
        found = sorted((self.root / folder).glob(f"{package.replace('-', '_')}-*.whl"))
        links = [f'<a href="/files/{folder}/{path.name}#sha256={_digest(path)}">{path.name}</a>' for path in found]
        return "\n".join(["<!DOCTYPE html>", *links]) if links else None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    index: Index
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = [unquote(part) for part in self.path.strip("/").split("/")]
        self.index.asked.append((self.command, f"{self.path} {self.headers.get('Range', '')}".strip()))
        if parts[0] in self.index.silent:
            self.index.ended.wait(60)
            return
        if parts[0] == "files":
            self._file(self.index.root / parts[1] / parts[2])
            return
        page = self.index.page(parts[0], parts[1])
        self._answer(200 if page else 404, (page or "nothing").encode(), {"Content-Type": "text/html"})

    def _file(self, path: Path) -> None:
        whole, tag = path.read_bytes(), f'"{_digest(path)}"'
        first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        headers = {"Accept-Ranges": "bytes", "ETag": tag, "Content-Type": "application/octet-stream"}
        if not first and not last:
            self._answer(200, whole, headers, path.name)
            return
        start = int(first) if first else max(0, len(whole) - int(last))
        stop = int(last) + 1 if first and last else len(whole)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(whole)}"
        self._answer(206, whole[start:stop], headers, path.name)

    def _answer(self, status: int, body: bytes, headers: dict[str, str], name: str = "") -> None:
        self.send_response(status)
        for header, text in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(header, text)
        self.end_headers()
        if self.command == "HEAD":
            return
        if name in self.index.stalls:
            self.wfile.write(body[: len(body) // 2])
            self.index.ended.wait(60)
            self.close_connection = True
        elif self.index.breaks.get(name, 0) and status == 200:
            self.index.breaks[name] -= 1
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        else:
            self.wfile.write(body)


@contextlib.contextmanager
def serve(root: Path) -> Iterator[Index]:
    """The index while the block runs."""
    index = Index(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"index": index}))
    server.daemon_threads = True
    index.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield index
    finally:
        index.ended.set()
        server.shutdown()
        server.server_close()
