"""The columns that several benchmark tables share: ours, the paper's, the judge; then setup and source."""

from __future__ import annotations

from srt.report.formats import Column

RUN = (Column("run", "Run"),)
# How it was trained; the first columns stand in the run table as well.
SETUP = (
    Column("dataset", "Data set", setup=True),
    Column("teacher", "Teacher", setup=True),
    Column("student", "Student", setup=True),
    Column("method", "Method"),
    Column("ratio", "Ratio", 2),
    Column("seed", "Seed", 0, setup=True),
    Column("training_records", "Records", 0),
    Column("steps", "Steps", 0),
    Column("global_batch", "per step", 0, setup=True),
    Column("optimizer", "Optimizer", setup=True),
)
FILE = Column("source", "Source", path=True)
SOURCE = (Column("reported_source", "Where", group="Paper"), FILE)

# Whose verdicts a number is made of, and how far they agree with published ones.
JUDGE = (
    Column("judge", "name", group="Judge"),
    Column("judge_agreement", "agrees (%)", 1, group="Judge"),
    Column("judge_kappa", "kappa", 2, group="Judge"),
)
# What became of the answers that were judged.
ANSWERS = (
    Column("cut_off", "cut off", 0, group="Answers"),
    Column("empty", "empty", 0, group="Answers"),
)
INSIDE = Column("inside", "Inside the error")
LEADERBOARD = (
    Column("leaderboard_win_rate", "win rate", 2, group="Leaderboard"),
    Column("leaderboard_check", "check", group="Leaderboard"),
)

# How many questions have a value, and how many have none.
COUNTS = (
    Column("n", "n", 0),
    Column("missing", "Missing", 0),
)

# For reading, the paper's own table stands by itself, with what of ours is compared with its rows.
WHERE = Column("reported_source", "Where")
MODEL = Column("reported_name", "Model")
RECORDS = Column("reported_training_records", "Records", 0)
OURS = Column("run", "run", group="Ours")
