"""The columns of the three benchmark tables: what was run, ours, the paper's, the difference, and the source."""

from __future__ import annotations

from srt.report.formats import Column

LABELS = {"average": "Average", "arc": "ARC", "hellaswag": "HellaSwag", "mmlu": "MMLU", "truthfulqa": "TruthfulQA"}

RUN = (Column("run", "Run"),)
SETUP = (
    Column("dataset", "Data set", setup=True),
    Column("teacher", "Teacher", setup=True),
    Column("student", "Student", setup=True),
    Column("method", "Method"),
    Column("ratio", "Ratio", 2),
    Column("training_records", "Records", 0),
)
SOURCE = (Column("reported_source", "Where", group="Paper"), Column("source", "Source", path=True))

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

ALPACA_EVAL = (
    *RUN,
    *SETUP,
    Column("win_rate", "Win rate", 2, group="Ours", main=True),
    Column("se", "SE", 2, group="Ours"),
    Column("wins", "Wins", 0, group="Ours"),
    Column("draws", "Draws", 0, group="Ours"),
    Column("length", "Length", 0, group="Ours"),
    Column("n", "n", 0, group="Ours"),
    Column("missing", "Missing", 0, group="Ours"),
    Column("difference", "Difference", 2, signed=True),
    INSIDE,
    *ANSWERS,
    *JUDGE,
    Column("reported_name", "Model", group="Paper"),
    Column("reported_win_rate", "Win rate", 2, group="Paper"),
    Column("reported_se", "SE", 2, group="Paper"),
    Column("reported_wins", "Wins", 0, group="Paper", shown=False),
    Column("reported_draws", "Draws", 0, group="Paper", shown=False),
    Column("reported_length", "Length", 0, group="Paper"),
    Column("reported_training_records", "Records", 0, group="Paper"),
    *SOURCE,
)
OPEN_LLM_COLUMNS = (
    *RUN,
    Column("profile", "Profile"),
    Column("version", "lm-eval"),
    *SETUP,
    *(
        column
        for name, label in LABELS.items()
        for column in (
            Column(name, "ours", 2, group=label, main=name == "average"),
            Column(f"{name}_se", "SE", 2, group=label),
            Column(f"{name}_n", "n", 0, group=label),
            Column(f"{name}_reported", "paper", 2, group=label),
            Column(f"{name}_difference", "diff.", 2, group=label, signed=True),
            Column(f"{name}_inside", "inside", group=label),
        )
    ),
    Column("missing", "Missing", 0),
    Column("leaderboard", "Leaderboard", shown=False),  # the block of srt/reported.yaml with which it is compared
    Column("reported_name", "Model", group="Paper"),
    Column("reported_training_records", "Records", 0, group="Paper", shown=False),
    *SOURCE,
)
PAIRWISE = (
    *RUN,
    Column("opponent", "Opponent"),
    Column("questions", "Questions"),
    *SETUP,
    Column("wins", "Win", 0, group="Ours"),
    Column("ties", "Tie", 0, group="Ours"),
    Column("losses", "Lose", 0, group="Ours"),
    Column("winning_score", "Winning score", 3, group="Ours", main=True),
    Column("se", "SE", 3, group="Ours"),
    Column("n", "n", 0, group="Ours"),
    Column("missing", "Missing", 0, group="Ours"),
    Column("difference", "Difference", 3, signed=True),
    INSIDE,
    *ANSWERS,
    *JUDGE,
    Column("reported_name", "Model", group="Paper"),
    Column("reported_opponent", "Opponent", group="Paper"),
    Column("reported_questions", "Questions", group="Paper", shown=False),
    Column("reported_wins", "Win", 0, group="Paper"),
    Column("reported_ties", "Tie", 0, group="Paper"),
    Column("reported_losses", "Lose", 0, group="Paper"),
    Column("reported_winning_score", "Winning score", 3, group="Paper"),
    Column("reported_judge", "Judge", group="Paper", shown=False),
    *SOURCE,
)
COLUMNS = {"alpaca_eval": ALPACA_EVAL, "open_llm": OPEN_LLM_COLUMNS, "pairwise": PAIRWISE}

# For reading, the paper's models that no run is compared with stand in a table of their own, with these columns.
WHERE = Column("reported_source", "Where")
MODEL = Column("reported_name", "Model")
RECORDS = Column("reported_training_records", "Records", 0)
PAPER_COLUMNS = {
    "alpaca_eval": (
        MODEL,
        RECORDS,
        Column("reported_win_rate", "Win rate", 2),
        Column("reported_se", "SE", 2),
        Column("reported_wins", "Wins", 0),
        Column("reported_draws", "Draws", 0),
        Column("reported_length", "Length", 0),
        WHERE,
    ),
    "open_llm": (
        MODEL,
        RECORDS,
        *(Column(f"{name}_reported", label, 2) for name, label in LABELS.items()),
        WHERE,
    ),
    "pairwise": (
        MODEL,
        Column("reported_opponent", "Opponent"),
        Column("reported_wins", "Win", 0),
        Column("reported_ties", "Tie", 0),
        Column("reported_losses", "Lose", 0),
        Column("reported_winning_score", "Winning score", 3),
        Column("reported_judge", "Judge"),
        WHERE,
    ),
}
