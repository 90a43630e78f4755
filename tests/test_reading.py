"""Judges' numbers in the forms in which models write them; what is not plainly a verdict is none."""

import pytest

from srt.evaluation import reading


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8 7", (8, 7)),
        ("8 7\nThe first ...", (8, 7)),
        ("\n 10, 1.5 \n", (10, 1.5)),
        ("Scores: 8 7", (8, 7)),
        ("Scores (1-10):\n8 7", (8, 7)),
        ("8/10, 7/10", (8, 7)),
        ("8 out of 10, 7 out of 10", (8, 7)),
        ("**8 7**", (8, 7)),
        ("[8, 7.5]", (8, 7.5)),
        ("My scores:\n\n8 and 7\n\nBecause", (8, 7)),
        ("Sure, here you are.\n8 7", (8, 7)),
        ("Assistant 1: 8, Assistant 2: 7", (8, 7)),
        ("Assistant 1: 8\nAssistant 2: 9\nThe second ...", (8, 9)),
        ("The scores are 8 7.", (8, 7)),
        ('{"first": 8, "second": 7}', (8, 7)),
        ('{"first": "8", "second": 7.5} since it is longer', (8, 7.5)),
        ('```json\n{"first": 8, "second": 7}\n```', (8, 7)),
        ("assistant B: 8, assistant A: 7", None),  # another order than asked for
        ("8", None),
        ("8 7 6", None),
        ("0 5", None),
        ("5 11", None),
        ("-5 5", None),
        ("5 -5", None),
        ("", None),
        ("87", None),
        ("80% 70%", None),
        ("I would give 8 7", None),
        ("2 answers, scores 8 7", None),
        ("I cannot rate these.", None),
        ("In 2023\n8 7", None),
        ('{"first": 8}', None),
        ('{"first": true, "second": 7}', None),
        ('{"first": 8, "second": 70}', None),
        ('{"first": 8,', None),
        ('{"first": 1' + "0" * 400 + ', "second": 2}', None),
        ('{"first": 1' + "0" * 5000 + ', "second": 2}', None),
    ],
)
def test_scores(text, expected):
    assert reading.scores(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7),
        ("  8.5\nBecause it is good.", 8.5),
        ("Grade: 9/10", 9),
        ("Grade:\n7", 7),
        ("The grade: 7", 7),
        ("**Rating: 6**\nIt rambles.", 6),
        ("3 out of 10.", 3),
        ("The answer is fine.\nRating: [[5]]", 5),
        ('{"grade": 4, "reason": "short"}', 4),
        ('{"grade": "7"}', 7),
        ("[[5]] or rather [[6]]", None),
        ("11", None),
        ("0", None),
        ("Grade: -5", None),
        ("Grade: .5", None),
        ("Score: 9%", None),
        ("between 6 and 7", None),
        ("6 7", None),
        ("", None),
        ('{"grade": true}', None),
        ('{"grade": 4', None),
        ('{"grade": 1' + "0" * 400 + "}", None),
        ("In 2023 I would say good", None),
        ("[[1.2.3]]", None),
    ],
)
def test_grade(text, expected):
    assert reading.grade(text) == expected
