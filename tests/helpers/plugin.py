"""Another package's method of selection, as an installation leaves it: a module, and an entry point that names it."""

from pathlib import Path

MODULE = '''"""The opposite of what the paper prefers."""

from srt.selection.method import Filter, Limit, Method, Preference

CONTRARY = Method(
    "contrary",
    phases=(Preference("ifd", "lower"), Preference("r_ifd", "higher")),
    filter=Filter((Limit("r_ifd", "r_ifd_below"),)),
)
'''


def install(folder: Path, module: str | None = MODULE, point: str = "contrary = toy_methods:CONTRARY") -> list[Path]:
    """What the package consists of, below a folder for PYTHONPATH; without a module, what a broken one leaves."""
    about = folder / "toy_methods-1.0.dist-info"
    about.mkdir(parents=True)
    made = [about / "entry_points.txt"]
    made[0].write_text(f"[srt.methods]\n{point}\n")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-methods\nVersion: 1.0\n")
    if module is not None:
        made.append(folder / "toy_methods.py")
        made[1].write_text(module)
    return made
