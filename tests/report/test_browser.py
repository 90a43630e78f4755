"""The report in a real browser: it loads nothing, it logs nothing, and what a model wrote is text."""

import http.server
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from helpers.results import RUNS, inputs_at
from srt.experiment import layout
from srt.report.figures import draw
from srt.report.page.html import write_html
from srt.report.tables import write
from srt.storage.files import read_records, write_records
from srt.storage.records import Pair, ReflectedPair

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
NO_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed: the report was not opened")
pytestmark = [pytest.mark.slow, NO_CHROMIUM]
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--disable-default-apps"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions"),
    *("--enable-logging=stderr", "--log-level=0", "--virtual-time-budget=3000"),
)


# Asked for whatever page is opened, for updates and the time; the proxy refuses it all.
BROWSERS_OWN = (
    "update.googleapis.com",
    "clients2.google.com",
    "accounts.google.com",
    "optimizationguide-pa.googleapis",
)


@pytest.fixture
def proxy():
    """A web server that the browser has to go through: the addresses that it was asked for."""
    asked = []

    class Noting(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_CONNECT = do_POST = do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Noting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def opened(page: Path, proxy: str, *more: str) -> tuple[str, list[str]]:
    """The page's document after it was loaded, and what stands in the browser's console."""
    profile = page.parent / f"profile-{page.stem}"
    command = [
        CHROMIUM,
        *QUIET,
        f"--user-data-dir={profile}",
        f"--proxy-server={proxy}",
        "--proxy-bypass-list=<-loopback>",
    ]
    done = subprocess.run(
        [*command, *more, "--dump-dom", page.as_uri()], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def foreign(asked: list[str]) -> list[str]:
    """What the page asked for: all but what the browser asks for by itself, whatever is opened."""
    return [path for path in asked if not any(host in path for host in BROWSERS_OWN)]


def hostile(address: str) -> str:
    """What a model might answer: a script, an event handler, a picture from elsewhere, the end of the page."""
    return (
        f"</div></main><script>document.title='run'; console.error('run'); fetch('{address}/script')</script>"
        f"<img src=x onerror=\"console.error('handler')\"><img src='{address}/picture'>"
        f"<link rel=stylesheet href='{address}/style'><iframe src='{address}/frame'></iframe>"
    )


def test_the_browser_would_notice_a_script_and_a_request(tmp_path, proxy):
    address, asked = proxy
    page = tmp_path / "hostile.html"
    page.write_text(f"<!doctype html><title>x</title><div><main>{hostile('http://elsewhere.test')}")
    document, console = opened(page, address)
    assert "<title>run</title>" in document
    assert any('"run"' in line for line in console)
    assert any(path.endswith("/picture") for path in foreign(asked))


def test_the_report_asks_for_nothing_logs_nothing_and_runs_no_answers_script(results, proxy):
    address, asked = proxy
    for path in layout.pairs_paths(RUNS[2], "all").values():
        kind = Pair if path.endswith("original.jsonl") else ReflectedPair
        pairs = read_records(results / path, kind)
        write_records(results / path, [pair.model_copy(update={"output": hostile(address)}) for pair in pairs])
    write.write_tables(inputs_at(results), results)
    for name in layout.FIGURES:
        draw.draw(inputs_at(results), name)
    write_html(inputs_at(results, notice=f"A notice with {hostile(address)}"), results)
    document, console = opened(results / "report.html", address)
    assert console == []
    assert foreign(asked) == []
    assert "<title>Selective Reflection-Tuning: report</title>" in document
    assert "document.title='run'" in document  # it is there, as text
    assert "<script" not in document
    assert document.count("<img ") == len(layout.FIGURES)
    assert document.count('id="record-') == 4


def test_the_report_is_a_picture_of_its_whole_width(results, proxy, tmp_path):
    """On a narrow screen the tables scroll inside themselves: the page is no wider than the screen."""
    address, _ = proxy
    write.write_tables(inputs_at(results), results)
    write_html(inputs_at(results), results)
    text = (results / "report.html").read_text()
    measure = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script></body>"
    policy = '<meta http-equiv="Content-Security-Policy"'
    page = tmp_path / "measured.html"
    page.write_text(text.replace("</body>", measure).replace(policy, '<meta name="x"'))
    document, _ = opened(page, address, "--window-size=600,900")
    width, _, screen = document.partition("<title>")[2].partition("</title>")[0].partition(" of ")
    assert int(width) <= int(screen)
