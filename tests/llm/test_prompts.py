from pathlib import Path

import pytest

from srt.llm.prompts import fill, guess_prompt, joined, student_template, training_prompt
from srt.storage.errors import InputError


def test_fill_replaces_in_one_pass_and_leaves_other_braces() -> None:
    assert fill("{a} {b} {c} {{a}}", {"a": "{b}", "b": "2"}) == "{b} 2 {c} {{b}}"


def test_the_training_prompts_are_the_wheels_own() -> None:
    vicuna = training_prompt("vicuna_v1.1")
    assert vicuna.startswith("A chat between a curious user")
    assert vicuna.endswith("USER: {instruction} ASSISTANT:")
    assert training_prompt("alpaca").endswith("### Response:")


def test_the_template_with_an_input_has_the_published_form() -> None:
    rendered = student_template("vicuna_v1.1").render("Add.", "1 {instruction}")
    assert rendered.endswith("USER: Add.\nInput:\n1 {instruction} ASSISTANT:")
    assert student_template("vicuna_v1.1").render("Add.").endswith("USER: Add. ASSISTANT:")


def test_template_files_are_kept_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text('without_input: " Q {instruction}\\r\\n"\nwith_input: "{input}|{instruction} "\n')
    template = student_template(str(path))
    assert template.render("i") == " Q i\r\n"
    assert template.render("i", "n") == "n|i "
    (tmp_path / "g.txt").write_bytes(b"before \r\n{response}\n\n")
    assert guess_prompt(str(tmp_path / "g.txt")) == "before \r\n{response}\n\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "without_input: a\nwith_input: '{instruction}{input}'",
            "without_input: expected the placeholder {instruction}",
        ),
        ("without_input: '{instruction}'", "with_input: is missing"),
        ("without_input: [", "is not YAML"),
    ],
)
def test_bad_templates_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(InputError) as raised:
        student_template(str(tmp_path / "t.yaml"))
    assert expected in str(raised.value)


def test_a_guess_prompt_needs_its_placeholder(tmp_path: Path) -> None:
    (tmp_path / "g.txt").write_text("no placeholder")
    with pytest.raises(InputError, match="expected the placeholder"):
        guess_prompt(str(tmp_path / "g.txt"))


def test_the_plain_join() -> None:
    assert joined("a", "") == "a"
    assert joined("a", "b") == "a\nb"
