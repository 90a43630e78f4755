# Selective Reflection-Tuning, from raw instruction data to tables, figures and report.
# `snakemake --cores all` runs the demo of config/config.yaml; `--configfile config/paper.yaml` the paper.
from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/check.smk"


# A config file stands alone: Snakemake would merge a `configfile:` with what is on the command line in silence.
stop(
    f"--configfile: expected one file, found also {file}: a target stands before the flags"
    for file in workflow.configfiles[1:2]
)
stop(
    f"--config: expected every setting in the file of --configfile, found also {key}"
    for key in workflow.config_settings.config
)
CONFIG_FILE = str(next(iter(workflow.configfiles), "config/config.yaml"))
stop(unread(CONFIG_FILE))
if not workflow.configfiles:

    configfile: CONFIG_FILE


EXAMINED = examined(config, CONFIG_FILE)
stop(lines(EXAMINED) if EXAMINED.findings else [])
CONFIG, RUN_TABLE = EXAMINED.config, EXAMINED.runs


include: "workflow/rules/common.smk"
include: "workflow/rules/schedule.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/reflect.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/selection.smk"
include: "workflow/rules/finetune.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/evaluate_common.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/given_common.smk"
include: "workflow/rules/given.smk"
include: "workflow/rules/report_common.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        [RESULTS + path for path in layout.artefacts(CONFIG, RUN_TABLE)],
        RESULTS + layout.REPORT,
        expand(RESULTS + layout.TABLE, table=layout.tables(), ext=["csv", "md", "tex"]),
        expand(RESULTS + layout.FIGURE, figure=layout.FIGURES, ext=["pdf", "png"]),
        [RESULTS + layout.DATA_CARD.format(run=run) for run in SELECTED],
        [RESULTS + layout.MODEL_CARD.format(run=run) for run in TRAINED],
    localrule: True
