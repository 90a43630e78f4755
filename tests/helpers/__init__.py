"""What the tests share: servers, models, releases and trees to try the project on."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
