"""Replies that are larger than they look, redirects, and addresses that hold a password."""

import gzip
import json
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from pydantic import ValidationError

from helpers import TESTS
from helpers.serving import MOST, Serving, reply
from srt import cli
from srt.llm import _batch_files as batch_files
from srt.llm import _pool as pool
from srt.llm import batch_api
from srt.llm._bounded import unpacked
from srt.llm.sending import Refusal
from srt.llm.servers import OpenServer
from srt.settings import Endpoint

SIZE = 3_000_000
PASSWORD = "hunter2-is-no-secret"  # noqa: S105
GZIPPED = {"Content-Encoding": "gzip"}


BIG = reply(SIZE)
SHAPES: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "plain": (200, BIG, {}),
    "gzip": (200, gzip.compress(BIG), GZIPPED),
    "unsaid gzip": (200, gzip.compress(BIG), {}),
    "gzip twice": (200, gzip.compress(gzip.compress(BIG)), {"Content-Encoding": "gzip, gzip"}),
    "gzip, and unsaid again": (200, gzip.compress(gzip.compress(BIG)), GZIPPED),
    "deflate": (200, zlib.compress(BIG), {"Content-Encoding": "deflate"}),
    "many members": (200, gzip.compress(b" " * 500_000) * 5 + gzip.compress(BIG), {}),
    "an error": (400, gzip.compress(BIG), GZIPPED),
    "no JSON": (200, gzip.compress(b"\0" * SIZE), GZIPPED),
    "a stream": (200, gzip.compress(b": still here\n\n" * 200_000 + b"data: [DONE]\n\n"), GZIPPED),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_reply_beyond_the_limit_is_one_failure_however_it_is_packed(shape: str) -> None:
    with Serving(*SHAPES[shape]) as serving:
        outcome = serving.outcome()
        assert outcome == Refusal("a reply beyond 1 MB, unpacked (execution.reply_mb)", lasting=True)
        assert len(serving.asked) == 1


@pytest.mark.parametrize("shape", [name for name in SHAPES if name not in ("an error", "no JSON", "a stream")])
def test_below_the_limit_it_is_read(shape: str) -> None:
    with Serving(*SHAPES[shape]) as serving:
        assert len(serving.outcome(reply_mb=8).reply.text) == SIZE


MEASURE = """
import resource, sys
from functools import partial
from helpers.fake_judge import execution_config
from srt.llm.endpoint import chat
from srt.llm.sending import Sender
from srt.llm.servers import OpenServer
sender = Sender(OpenServer(sys.argv[1], "k", "m"), execution_config(request_seconds=60.0, patience_seconds=0.1))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sender.submit("t", partial(chat, {"model": "m", "messages": []}))
print(sender.collect())
sender.close()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("headers", [GZIPPED, {}], ids=["gzip", "unsaid gzip"])
def test_a_bomb_takes_no_more_memory_than_the_limit(headers: dict[str, str]) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(10_000_000)) for _ in range(40)) + packer.flush()  # 400 MB in 0.4
    with Serving(200, bomb, headers) as serving:
        command = [sys.executable, "-c", MEASURE, f"http://127.0.0.1:{serving.port}/v1"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=TESTS)
        assert len(serving.asked) == 1
    outcome, kilobytes = done.stdout.splitlines()
    assert "a reply beyond 32 MB" in outcome
    assert int(kilobytes) < 100_000


def test_a_packed_text_comes_out_whole() -> None:
    text = bytes(range(256)) * 20_000
    assert b"".join(unpacked(gzip.compress(text[:7]) + gzip.compress(text[7:]) + b"\0\0")) == text
    assert b"".join(unpacked(b"\x1f\x8b\x08nonsense")) == b"\x1f\x8b\x08nonsense"


def test_the_check_of_our_own_server_reads_no_more_than_the_limit() -> None:
    with Serving(200, b"[" * 40_000_000, {}) as serving:
        assert pool._get(serving.port, "/v1/models", "k") is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # it came back


def test_lines_of_a_batch_that_are_too_long_are_refused_by_their_request(tmp_path: Path) -> None:
    answer = {"status_code": 200, "body": json.loads(reply(10))}
    rows = [{"id": "x", "custom_id": name, "response": answer} for name in ("a", "b", "c")]
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    lines[1] = lines[1][:60] + b" " * SIZE + lines[1][60:]
    with (tmp_path / "file").open("w+b") as file:
        file.write(b"".join(lines) + b"x" * SIZE)
        file.seek(0)
        kept = list(batch_files.whole_or_begun(file, MOST))
    assert list(map(len, kept)) == [len(lines[0]), MOST + 1, len(lines[2]), MOST + 1]
    found = [batch_files.row(line, MOST) for line in kept]
    read = [batch_api._read(row, OpenServer("http://h/v1", "k", "m")) for row in found if row]
    assert [(answer.text, answer.finish_reason) for answer in read] == [
        ("a" * 10, "stop"),
        ("", "refused: HTTP 413: a reply beyond 1 MB (execution.reply_mb)"),
        ("a" * 10, "stop"),
    ]
    assert found[3] is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_refusal_and_is_not_followed(status: int) -> None:
    with Serving(200, reply(5), {}) as other:
        there = f"http://user:{PASSWORD}@127.0.0.1:{other.port}/v1/chat?key={PASSWORD}"
        with Serving(status, b"", {"Location": there}) as serving:
            outcome = serving.outcome()
        assert (other.asked, outcome.lasting) == ([], True)
    said = f"HTTP {status}: a redirect to http://127.0.0.1:{other.port}/v1/chat, which is not followed"
    assert said in outcome.why
    assert PASSWORD not in outcome.why


def test_a_key_that_a_server_sends_back_is_seen_by_nobody() -> None:
    said = json.dumps({"choices": [{"finish_reason": f"x {PASSWORD}", "message": {"content": [5, PASSWORD]}}]})
    with Serving(200, said.encode(), {}) as serving:
        outcome = serving.outcome(key=PASSWORD)
    assert PASSWORD not in repr(outcome)
    assert (outcome.reply.finish_reason, "(key)" in outcome.reply.raw) == ("x (key)", True)


@pytest.mark.parametrize(
    "address", [f"https://user:{PASSWORD}@host/v1", f"https://{PASSWORD}@host/v1", f"http://u:{PASSWORD}/x@host/v1"]
)
def test_an_address_with_a_password_is_refused_without_showing_it(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValidationError):
        Endpoint(base_url=address, api_key_env=None)
    (tmp_path / "pairs.jsonl").write_text("")
    command = ["reflect", str(tmp_path / "pairs.jsonl"), str(tmp_path / "out.jsonl"), "--variant", "instruction"]
    command += ["--backend", "openai", "--model", "m", "--prompts", "config/prompts/tags.yaml"]
    config = Path("config/config.yaml").read_text()
    changed = config.replace("endpoints: {}", f"endpoints: {{t: {{base_url: '{address}', api_key_env: K}}}}")
    changed = changed.replace("teachers:\n  smollm2:", "teachers:\n  t:")
    table = Path("config/demo.tsv").read_text().replace("\tdemo\tsmollm2\t", "\tdemo\tt\t")
    (tmp_path / "runs.tsv").write_text(table)
    (tmp_path / "c.yaml").write_text(changed.replace("config/demo.tsv", str(tmp_path / "runs.tsv")))
    ways = (["--base-url", address], ["--endpoint", f"t={address},K", "--use-teacher", "t"])
    for flags in (*ways, ["--config", str(tmp_path / "c.yaml"), "--use-teacher", "t"]):
        assert cli.main([*command, *flags]) == 2
        said = capsys.readouterr().err
        assert "expected an address" in said
        assert PASSWORD not in said
        assert said.count("\n") == 1
