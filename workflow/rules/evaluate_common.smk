# What the rule of any benchmark needs, by what the benchmark says of itself (srt/settings/benchmark.py).
from srt.settings.benchmarks import benchmarks
from srt.settings.types import spots

EVALUATION = RESULTS + layout.EVALUATION
ITEMS = RESULTS + items_of(layout.EVALUATION)
EVALUATED = {
    key: CONFIG.evaluate.of(found)
    for key, found in benchmarks().items()
    if CONFIG.evaluate.of(found)
}


def section_of(key):
    """A job's section, by its wildcards."""
    by_profile = {section.profile: section for section in EVALUATED[key]}
    return lambda wildcards: by_profile[getattr(wildcards, "profile", None)]


def asked_questions(key):
    """The set of questions that a job judges the answers to, by its wildcards."""
    own = benchmarks()[key].questions
    return lambda wildcards: own or wildcards.questions


def question_source(key):
    """The source of these questions."""
    return lambda wildcards: CONFIG.questions[asked_questions(key)(wildcards)].source


def evaluation_answers(key):
    """Our answers, and those of an opponent: patterns of inputs by name."""
    found = benchmarks()[key]
    if found.runs_model:
        return {}
    pattern = answers_of(found.questions or "{questions}")
    against = {"opponent": pattern.replace("{run}", "{opponent}")}
    return {"answers": pattern, **(against if "opponent" in found.wildcards else {})}


def evaluation_files(key):
    """What else a job reads of its section, of the questions and of the model that it runs, where these are files."""
    found, section = benchmarks()[key], section_of(key)

    def files(wildcards):
        named = section(wildcards).settings
        paths = [spot.text for spot in spots(named) if spot.key != "judge"]
        paths += [question_source(key)(wildcards)] if found.asks else []
        models = run_model_files(wildcards.run) if found.runs_model else []
        return [file for path in paths for file in present(path)] + models

    return files


def evaluation_judge(key):
    """What a job with a judge waits for."""
    form = benchmarks()[key].form

    def files(wildcards):
        judge = section_of(key)(wildcards).judge
        return judge_inputs(judge, [form] if form else []) if judge else []

    return files


def evaluation_gpus(key):
    """The GPUs of a job that runs a model or starts its judge's server; a function of its wildcards."""
    if benchmarks()[key].runs_model:
        return lambda wildcards: GENERATE_GPUS
    section = section_of(key)
    return lambda wildcards: (
        judge_gpus(section(wildcards).judge) if section(wildcards).judge else 0
    )


def evaluation_threads(key):
    """Its cores: one where nobody's model is run here."""
    gpus, section = evaluation_gpus(key), section_of(key)
    if benchmarks()[key].runs_model:
        return lambda wildcards: model_threads(gpus(wildcards))
    return lambda wildcards: (
        judge_threads(section(wildcards).judge) if section(wildcards).judge else 1
    )


def evaluation_endpoints(key):
    """As resources of its jobs: no other job asks the same judge meanwhile."""
    names = {judge_name(section.judge) for section in EVALUATED[key] if section.judge}
    section = section_of(key)
    return endpoints(
        [name for name in JUDGES_ASKED if name in names],
        lambda wildcards: judge_name(section(wildcards).judge),
    )


def evaluation_params(key):
    """What its command is told beside its files, and what a change of which reruns it."""
    found, section = benchmarks()[key], section_of(key)
    told = {
        "command": evaluation_command(key),
        "settings": lambda wildcards: flags.as_flags(section(wildcards).settings),
        "version": VERSION["evaluate"],
    }
    if found.is_judged:
        told["weights"] = lambda wildcards: judge_weights(section(wildcards).judge)
    if found.runs_model:
        told["weights"] = lambda wildcards: run_weights(wildcards.run)
    return told


def evaluation_command(key):
    """Its command up to its settings. A parameter: the text under `shell:` is looked up when a job runs, after the loop."""
    found, answers = benchmarks()[key], evaluation_answers(key)

    def command(wildcards, input, output):
        files = [str(getattr(input, name)) for name in answers]
        words = ["srt", "evaluate", found.command, *files, output.result]
        if found.asks:
            words += ["--questions", question_source(key)(wildcards)]
        if found.by_profile:
            words += ["--use-profile", wildcards.profile]
        model = [run_model_flags(wildcards.run)] if found.runs_model else []
        return " ".join([shlex.join(words), *model])

    return command
