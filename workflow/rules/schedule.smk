# What each job gets of the cores and GPUs. Snakemake is told as `threads` and `resources`: a change reruns nothing.
# On a cluster its machines are not this one: jobs get what they ask for, and `jobs:` is how many run at once.
ON_CLUSTER = workflow.remote_exec or workflow.resource_settings.nodes is not None
VISIBLE_GPUS = 0 if CONFIG.execution.device == "cpu" else len(gpus.visible())
# Whether jobs that run a model hold GPUs; where the config insists on them, a plan may be made without any.
GPU = int(CONFIG.execution.device == "cuda" or VISIBLE_GPUS > 0)
# Finetuning starts a process for each of its GPUs by itself; the GPUs of all its machines are asked for.
FINETUNE_GPUS = GPU * CONFIG.execution.finetune_gpus * CONFIG.execution.finetune_nodes
SCORE_GPUS = GPU * CONFIG.execution.score_gpus
# Over so many one engine, or one server, lays out its model.
GENERATE_GPUS = GPU * CONFIG.execution.generate_gpus
TEACHER_GPUS = GPU * CONFIG.execution.teacher_gpus
JUDGE_GPUS = GPU * CONFIG.execution.judge_gpus
# Teachers and judges that are asked at an endpoint, which is waiting more than work.
TEACHERS_ASKED = [
    name for name, teacher in CONFIG.teachers.items() if teacher.backend == "openai"
]
JUDGES_ASKED = [name for name, file in JUDGE_FILES.items() if not JUDGES[file].serve]


def total(resource, default):
    """How much of a resource all jobs share: what the user says (`--resources gpu=4`), or else the default."""
    if resource not in workflow.global_resources:
        workflow.register_resource(resource, default)
    return workflow.global_resources[resource].value


# Without this, 64 cores would begin 64 selections at once.
if not ON_CLUSTER:
    total(schedule.MEMORY, psutil.virtual_memory().total // 10**6)
SCHEDULE = schedule.Schedule(
    cores=workflow.resource_settings.cores or 1,
    gpus=0 if ON_CLUSTER or not GPU else total(schedule.GPU, max(1, VISIBLE_GPUS)),
    endpoints=sum(
        total(schedule.endpoint(name), 1) for name in {*TEACHERS_ASKED, *JUDGES_ASKED}
    ),
    on_cluster=ON_CLUSTER,
)
if GPU and not ON_CLUSTER and workflow.is_main_process:
    wanted = {"score_gpus": SCORE_GPUS, "generate_gpus": GENERATE_GPUS}
    wanted |= (
        {"teacher_gpus": TEACHER_GPUS}
        if len(TEACHERS_ASKED) < len(CONFIG.teachers)
        else {}
    )
    wanted |= {"judge_gpus": JUDGE_GPUS} if len(JUDGES_ASKED) < len(JUDGES) else {}
    wanted |= {"finetune_gpus": CONFIG.execution.finetune_gpus} if TRAINED else {}
    for line in schedule.remarks(SCHEDULE.gpus, VISIBLE_GPUS, wanted):
        print(f"srt: {line}", file=sys.stderr)


def model_threads(gpus):
    """Cores of a job that runs a model on so many GPUs, 0 for one on the CPU."""
    return SCHEDULE.threads(gpus)


def weight(priority, gpus):
    return schedule.weight(priority, gpus)


def shards_of(wildcards):
    """The shards of a scores file. A finished one keeps the number that it was made of: another reruns nothing."""
    finished = Path(RESULTS + meta_of(SCORES).format(**wildcards))
    shards = read_sidecar(finished, Sidecar).shards or SCHEDULE.shards(CONFIG.execution)
    return [
        RESULTS + SHARD.format(**wildcards, shard=shard, shards=shards)
        for shard in range(1, shards + 1)
    ]


def teacher_gpus(wildcards):
    """The GPUs of a job that runs its teacher, or starts its server."""
    return 0 if wildcards.teacher in TEACHERS_ASKED else TEACHER_GPUS


def reflection_priority(wildcards):
    """`both` waits for the instruction's reflection, which therefore comes first at an endpoint."""
    return weight(
        101 if wildcards.variant == "instruction" else 100, teacher_gpus(wildcards)
    )


def teacher_threads(wildcards):
    """Cores of a job with this teacher: waiting for an endpoint takes one."""
    is_asked = wildcards.teacher in TEACHERS_ASKED
    return 1 if is_asked else model_threads(teacher_gpus(wildcards))


def judge_gpus(file):
    """The GPUs of a job that starts its judge's server."""
    return JUDGE_GPUS if JUDGES[file].serve else 0


def judge_threads(file):
    """Cores of a job with this judge: waiting for an endpoint takes one."""
    return model_threads(judge_gpus(file)) if JUDGES[file].serve else 1


def judge_endpoint(file):
    """As a resource of a rule's jobs: no other job asks this judge meanwhile."""
    name = judge_name(file)
    if name not in JUDGES_ASKED:
        return {}
    return {schedule.endpoint(name): 1, schedule.MEMORY: schedule.LIGHT_MB}


def endpoints(names, chosen):
    """The same of the teacher or judge, one of `names`, that `chosen` finds for a job's wildcards."""

    def memory(wildcards):
        return schedule.LIGHT_MB if chosen(wildcards) in names else None

    def one(wildcards, name):
        return 1 if chosen(wildcards) == name else None

    found = {
        schedule.endpoint(name): functools.partial(one, name=name) for name in names
    }
    return {**found, schedule.MEMORY: memory} if names else {}
