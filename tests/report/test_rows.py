"""The typed rows of the benchmark tables: every column is one that the rows can have, and the other way round."""

import pytest

from srt.report.tables import alpaca_eval, alpaca_eval_2, mt_bench, open_llm, pairwise
from srt.report.tables.rows import as_row, keys_of

OPEN_LLM = {key for name in open_llm.LABELS for key in open_llm.Score().cells(name)}


@pytest.mark.parametrize(
    ("row", "columns", "more"),
    [
        (alpaca_eval.AlpacaEvalRow, alpaca_eval.COLUMNS, set()),
        (alpaca_eval_2.AlpacaEval2Row, alpaca_eval_2.COLUMNS, set()),
        (mt_bench.MtBenchRow, mt_bench.GRADES, set()),
        (mt_bench.CategoryRow, mt_bench.CATEGORY_GRADES, set()),
        (open_llm.OpenLlmRow, open_llm.COLUMNS, OPEN_LLM),
        (pairwise.PairwiseRow, pairwise.COLUMNS, {"reported_training_records"}),
    ],
)
def test_the_columns_of_a_table_are_the_cells_of_its_rows(row, columns, more):
    keys = {*keys_of(row), *more}
    assert {column.key for column in columns} <= keys
    assert keys - {column.key for column in columns} <= {"reported_se", "reported_training_records"}


def test_a_row_has_the_cells_of_its_parts_and_none_that_is_empty():
    row = alpaca_eval.AlpacaEvalRow(source="reported", paper=None, inside="yes")
    assert as_row(row) == {"source": "reported", "inside": "yes"}
