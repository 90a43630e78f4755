# What the report reads and says, for the rules of report.smk. Their commands read the config file; what a part depends
# on of it is a parameter, so that its rule runs again when that changes, and only then. The file's path decides nothing.
REPORTED = inputs_of(CONFIG, RUN_TABLE, Path(CONFIG_FILE))
SHOWN = flags.flag("config", CONFIG_FILE)
# Papermill takes what follows -r as text, whatever it looks like.
NOTEBOOK_CONFIG = shlex.join(["-r", "config", CONFIG_FILE])
WHOLE_TABLES = expand(
    RESULTS + layout.TABLE, table=layout.tables(), ext=["csv", "md", "tex"]
)
# The same from whatever is there: `snakemake table_open_llm`, `figure_pairwise`, `so_far`. Target: parts of the report.
TABLE_TARGETS = {**{name: name for name in layout.tables()}, **layout.TABLE_NUMBERS}
DRAFTS = {
    **{
        f"table_{name}": [f"tables --only {table}"]
        for name, table in TABLE_TARGETS.items()
    },
    **{f"figure_{name}": [f"figures --only {name}"] for name in layout.FIGURES},
    "so_far": ["tables", "figures", "html", "cards"],
}


def report_params(part):
    """The parameters of a part of the report: where it is written, what of the config it depends on, its version."""
    settings = lambda wildcards: settings_of(REPORTED, part, wildcards.get("run"))
    return {
        "results": verbatim(CONFIG.results),
        "settings": settings,
        "version": VERSION["report"],
    }


def draft(parts):
    """The command that makes parts of the report of whatever is there."""
    commands = " && ".join(f"srt report {part} {SHOWN}" for part in parts)
    return commands if len(parts) == 1 else f"({commands})"
