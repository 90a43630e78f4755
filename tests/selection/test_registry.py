"""The methods by their names, and those that another package brings."""

import sys

import pytest

from helpers.plugin import MODULE, install
from srt.experiment.runs import Run
from srt.selection import registry
from srt.selection.method import Limit, Method, Preference
from srt.selection.registry import controls, method_named, methods, names, selecting
from srt.storage.errors import InputError
from srt.storage.records import VARIANTS


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package for the duration of a test."""

    def forget():
        registry._others.cache_clear()
        method_named.cache_clear()
        sys.modules.pop("toy_methods", None)

    def make(*args):
        install(tmp_path, *args)
        monkeypatch.syspath_prepend(str(tmp_path))
        forget()

    yield make
    monkeypatch.undo()
    forget()


def test_another_packages_method_is_one_of_the_methods(installed):
    installed()
    assert names()[-1] == selecting()[-1] == methods()[-1].name == "contrary"
    assert method_named("contrary").uses == {"ratio", "r_ifd_below"}


def test_it_is_imported_when_somebody_asks_for_it(installed):
    installed("raise SystemError('too early')")
    assert "contrary" in names()
    with pytest.raises(InputError, match=r"^entry point contrary = .* cannot be loaded: SystemError: too early$"):
        method_named("contrary")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((None,), "cannot be loaded: ModuleNotFoundError: No module named 'toy_methods'"),
        ((MODULE, "contrary = toy_methods:WRONG"), "cannot be loaded: AttributeError: "),
        (("CONTRARY = 'x'",), "expected a srt.selection.method.Method, found str"),
        (
            (MODULE.replace('"contrary"', '"other"'),),
            "expected a method that chooses, of the entry point's name, found ",
        ),
        ((MODULE.replace('"lower"', '"lower", "r_ifd_bellow"'),), "set_by: expected one of "),
        ((MODULE, "selective = toy_methods:CONTRARY"), "expected another name: there is a method 'selective'"),
    ],
)
def test_a_broken_entry_point_is_named_in_one_line(installed, args, said):
    installed(*args)
    with pytest.raises(InputError) as error:
        methods()
    point = args[1] if len(args) > 1 else "contrary = toy_methods:CONTRARY"
    assert str(error.value).startswith(f"entry point {point} of srt.methods: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(InputError, match=r"expected one of \['all_outcomes', .* did you mean 'selective'\?"):
        method_named("selectiv")


def test_what_follows_from_a_methods_fields():
    assert [method.name for method in controls()] == ["random", "length"]
    assert [method.name for method in methods() if not method.chooses] == ["none", "given"]
    assert [method.name for method in methods() if not method.trains] == ["none"]
    assert [method.name for method in methods() if method.fixed == "original"] == ["original", "cherry"]
    served = [method.name for method in methods() if method.serves_winners]
    by_ifd = ["selective", "selective_unfiltered", "all_outcomes", "ifd"]
    assert served == ["none", "original", "instruction", *by_ifd, "cherry"]
    # Only a variant that is taken whole needs no scores: `cherry` filters by one.
    assert [name for name in selecting() if not method_named(name).reads_scores(1.0)] == list(VARIANTS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Preference("idf"),
        lambda: Limit("ifd", "idf_below"),
        lambda: Limit("coherence", "ifd_below"),
        lambda: Limit("ifd", "perplexity_prefers"),
        lambda: Limit("ifd", "proxy_sample"),
        lambda: Preference("ifd", "lowest"),
        lambda: Preference("ifd", set_by="ifd_below"),
        lambda: Method("toy", variants=("origin",)),
        lambda: Method("toy", variants=("original",), role="contrl"),
        lambda: Method("x", variants=("original", "both")),
    ],
)
def test_a_method_that_cannot_be_is_refused(make):
    with pytest.raises(InputError, match="expected one "):
        make()


def test_a_run_table_says_which_methods_there_are():
    row = {"run": "x", "dataset": "d", "teacher": None, "student": "s", "ratio": 1.0, "recipe": None, "seed": 0}
    assert Run(method="cherry", **row).chosen_by.variants == ("original",)
    with pytest.raises(ValueError, match=r"Input should be 'none', .*, 'cherry' or 'given'"):
        Run(method="chery", **row)
