"""The columns of the three benchmark tables: ours, the paper's, the difference, the judge; then setup and source."""

from __future__ import annotations

from srt.report.formats import Column

LABELS = {"average": "Average", "arc": "ARC", "hellaswag": "HellaSwag", "mmlu": "MMLU", "truthfulqa": "TruthfulQA"}

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
LEADERBOARD = (
    Column("leaderboard_win_rate", "win rate", 2, group="Leaderboard"),
    Column("leaderboard_check", "check", group="Leaderboard"),
)

# From left to right: ours with its error, the paper's, the difference, whose judgment; then what else is known.
ALPACA_EVAL = (
    *RUN,
    Column("win_rate", "Win rate", 2, group="Ours", main=True),
    Column("se", "SE", 2, group="Ours"),
    Column("n", "n", 0, group="Ours"),
    Column("reported_win_rate", "Win rate", 2, group="Paper"),
    Column("reported_se", "SE", 2, group="Paper"),
    Column("difference", "Difference", 2, signed=True),
    INSIDE,
    *JUDGE,
    *SETUP,
    Column("missing", "Missing", 0, group="Ours"),
    Column("wins", "Wins", 0, group="Ours"),
    Column("draws", "Draws", 0, group="Ours"),
    Column("length", "Length", 0, group="Ours"),
    *ANSWERS,
    Column("reported_name", "Model", group="Paper"),
    Column("reported_wins", "Wins", 0, group="Paper", shown=False),
    Column("reported_draws", "Draws", 0, group="Paper", shown=False),
    Column("reported_length", "Length", 0, group="Paper"),
    Column("reported_training_records", "Records", 0, group="Paper"),
    *(Column(c.key, c.header, c.digits, c.group, shown=False) for c in LEADERBOARD),
    *SOURCE,
)
OPEN_LLM_COLUMNS = (
    *RUN,
    Column("profile", "Profile"),
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
    *SETUP,
    Column("version", "lm-eval"),
    Column("leaderboard", "Leaderboard", shown=False),  # the block of reported.yaml with which it is compared
    Column("reported_name", "Model", group="Paper"),
    Column("reported_training_records", "Records", 0, group="Paper", shown=False),
    *SOURCE,
)
PAIRWISE = (
    *RUN,
    Column("opponent", "Opponent"),
    Column("questions", "Questions"),
    Column("winning_score", "Winning score", 3, group="Ours", main=True),
    Column("se", "SE", 3, group="Ours"),
    Column("n", "n", 0, group="Ours"),
    Column("reported_winning_score", "Winning score", 3, group="Paper"),
    Column("difference", "Difference", 3, signed=True),
    INSIDE,
    *JUDGE,
    Column("wins", "Win", 0, group="Ours"),
    Column("ties", "Tie", 0, group="Ours"),
    Column("losses", "Lose", 0, group="Ours"),
    Column("missing", "Missing", 0, group="Ours"),
    *SETUP,
    *ANSWERS,
    Column("reported_name", "Model", group="Paper"),
    Column("reported_opponent", "Opponent", group="Paper"),
    Column("reported_questions", "Questions", group="Paper", shown=False),
    Column("reported_wins", "Win", 0, group="Paper"),
    Column("reported_ties", "Tie", 0, group="Paper"),
    Column("reported_losses", "Lose", 0, group="Paper"),
    Column("reported_judge", "Judge", group="Paper", shown=False),
    *SOURCE,
)
COLUMNS = {"alpaca_eval": ALPACA_EVAL, "open_llm": OPEN_LLM_COLUMNS, "pairwise": PAIRWISE}

# For reading, the paper's own table stands by itself, with what of ours is compared with its rows.
WHERE = Column("reported_source", "Where")
MODEL = Column("reported_name", "Model")
RECORDS = Column("reported_training_records", "Records", 0)
OURS = Column("run", "run", group="Ours")
PAPER_COLUMNS = {
    "alpaca_eval": (
        MODEL,
        Column("reported_win_rate", "Win rate", 2, group="Paper"),
        Column("reported_se", "SE", 2, group="Paper"),
        OURS,
        Column("win_rate", "Win rate", 2, group="Ours", main=True),
        Column("se", "SE", 2, group="Ours"),
        Column("n", "n", 0, group="Ours"),
        Column("difference", "Difference", 2, signed=True),
        INSIDE,
        *LEADERBOARD,
        Column("reported_wins", "Wins", 0, group="Paper"),
        Column("reported_draws", "Draws", 0, group="Paper"),
        Column("reported_length", "Length", 0, group="Paper"),
        RECORDS,
        WHERE,
    ),
    "open_llm": (
        MODEL,
        OURS,
        *(
            column
            for name, label in LABELS.items()
            for column in (
                Column(f"{name}_reported", "paper", 2, group=label),
                Column(name, "ours", 2, group=label, main=name == "average"),
                Column(f"{name}_se", "SE", 2, group=label),
                Column(f"{name}_difference", "diff.", 2, group=label, signed=True),
            )
        ),
        RECORDS,
        WHERE,
    ),
    "pairwise": (
        MODEL,
        Column("reported_opponent", "Opponent"),
        Column("reported_wins", "Win", 0, group="Paper"),
        Column("reported_ties", "Tie", 0, group="Paper"),
        Column("reported_losses", "Lose", 0, group="Paper"),
        Column("reported_winning_score", "Winning score", 3, group="Paper"),
        OURS,
        Column("winning_score", "Winning score", 3, group="Ours", main=True),
        Column("se", "SE", 3, group="Ours"),
        Column("n", "n", 0, group="Ours"),
        Column("difference", "Difference", 3, signed=True),
        INSIDE,
        Column("reported_judge", "Judge"),
        WHERE,
    ),
}
