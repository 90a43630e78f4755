"""Tokenizer and model are compared: an end token that one adds, tokens that the other lacks, positions that run out."""

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from tokenizers.processors import TemplateProcessing

from helpers.architectures import tiny
from helpers.training import execution, recipe, run
from srt.evaluation._likelihoods import JournaledModel
from srt.evaluation.generate import Wanted, generate
from srt.experiment.config import load
from srt.llm import limits, loading
from srt.llm.model import ModelRef
from srt.llm.prompts import appended, student_template, text_ids
from srt.prepare.sources import read_pairs
from srt.scoring.coherence import coherence
from srt.scoring.score import Student, score, targets_or_reasons
from srt.scoring.sequences import Sequencer
from srt.settings import OpenLlmConfig
from srt.settings.job import Job
from srt.storage.errors import InputError
from srt.storage.files import read_records, write_records
from srt.storage.readers import read_json
from srt.storage.records import Answer, Coherence, Pair, Score
from srt.training.examples import load_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]
CONFIG, _ = load()
HOW = CONFIG.execution.model_copy(update={"device": "cpu"})
PAIRS = [
    Pair(id="a", instruction="Name a fruit.", input="", output="An apple is a fruit."),
    Pair(id="b", instruction="Sort these.", input="3, 1, 2", output="1, 2, 3"),
    Pair(id="c", instruction="Say <|im_end|> now.", input="", output="I say it."),
]


def with_tokenizer(source, folder, change):
    """A copy of a model folder whose tokenizer is changed."""
    shutil.copytree(source, folder)
    tokenizer = loading.load_tokenizer(str(source), None)
    change(tokenizer)
    tokenizer.save_pretrained(folder)
    return folder


def add_end(tokenizer):
    """As Llama's `add_eos_token`, behind the BOS where the tokenizer adds one."""
    begin, end = tokenizer.bos_token, tokenizer.eos_token
    begins = tokenizer("It").input_ids[0] == tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{begin} $A {end}" if begins else f"$A {end}",
        special_tokens=[(begin, tokenizer.bos_token_id), (end, tokenizer.eos_token_id)],
    )


def scored(model, folder, pairs=PAIRS, name="s", **changes):
    """The scores of pairs, and their sidecar."""
    write_records(folder / "pairs.jsonl", pairs)
    settings = CONFIG.score.model_copy(update={"dtype": "float32", **changes})
    job = Job(folder / f"{name}.jsonl", folder / "cache", HOW)
    score(folder / "pairs.jsonl", ModelRef(str(model)), settings, job)
    return read_records(folder / f"{name}.jsonl", Score), read_json(folder / f"{name}.meta.json")


@pytest.mark.parametrize("plain", ["plain", "bos"])
def test_a_tokenizer_that_appends_eos_gives_the_same_scores(tiny_llamas, tmp_path, plain):
    ending = with_tokenizer(tiny_llamas[plain], tmp_path / "ending", add_end)
    ids = loading.load_tokenizer(str(ending), None)("Name it.").input_ids
    assert ids[-1] == loading.load_tokenizer(str(ending), None).eos_token_id
    found, expected = scored(ending, tmp_path)[0], scored(tiny_llamas[plain], tmp_path)[0]
    for one, other in zip(found, expected, strict=True):
        assert one.ifd == pytest.approx(other.ifd, abs=1e-6)
        assert one == other


def test_the_end_of_the_shared_fault_is_taken_off(tiny_llamas, tmp_path, shared_data):
    shutil.copytree(tiny_llamas["plain"], tmp_path / "ending")
    path = tmp_path / "ending" / "tokenizer.json"
    described = json.loads(path.read_text())
    described["post_processor"] = json.loads(
        (shared_data / "faults" / "07_tokenizer_adds_eos.post_processor.json").read_text()
    )
    path.write_text(json.dumps(described))
    assert appended(loading.load_tokenizer(str(tmp_path / "ending"), None)) == [2]
    assert scored(tmp_path / "ending", tmp_path)[0] == scored(tiny_llamas["plain"], tmp_path)[0]


def test_only_what_an_appending_tokenizer_scored_is_scored_anew(tiny_llamas, tmp_path, capsys):
    ending = with_tokenizer(tiny_llamas["plain"], tmp_path / "ending", add_end)
    settings = CONFIG.score.model_copy(update={"dtype": "float32"})
    student = Student(ModelRef(str(ending)), "float32", settings, Job(Path("old"), tmp_path / "cache", HOW))
    student.sequencer.keep_end = True
    old = targets_or_reasons(PAIRS, student)
    wrong = student.fill(target for targets in old.values() for target in targets.values())
    student.journal.close()
    capsys.readouterr()
    scored(ending, tmp_path)
    assert f"{wrong} sequences that were scored with it are scored anew" in capsys.readouterr().err
    scored(ending, tmp_path, name="again")
    said = capsys.readouterr().err
    assert "; 0 sequences that were scored with it" in said
    assert "different sequences, 0 to be scored" in said


@pytest.mark.parametrize("model", ["plain", "bos"])
def test_the_keys_of_other_tokenizers_are_what_they_were(tiny_llamas, model):
    tokenizer = loading.load_tokenizer(str(tiny_llamas[model]), None)
    template = student_template(CONFIG.score.template)
    now, before = (Sequencer(tokenizer, template, "Guess: {response}", 300, keep) for keep in (False, True))
    for one, other in zip(now.all_targets(PAIRS), before.all_targets(PAIRS), strict=True):
        assert {name: target.key for name, target in one.items()} == {name: t.key for name, t in other.items()}


def test_what_a_tokenizer_appends_is_found_whatever_it_is(tiny_llamas):
    tokenizer = loading.load_tokenizer(str(tiny_llamas["bos"]), None)
    plain = text_ids(tokenizer, ["Name it.", ""])
    assert plain[1] == [tokenizer.bos_token_id]
    other = [("<|endoftext|>", 0), ("<|im_start|>", 1)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A <|endoftext|> <|endoftext|>", special_tokens=other
    )
    assert appended(tokenizer) == [0, 0]
    assert text_ids(tokenizer, ["Name it.", ""]) == plain


def test_likelihoods_are_those_without_the_end(tiny_llamas, tmp_path):
    ending = with_tokenizer(tiny_llamas["bos"], tmp_path / "ending", add_end)
    assert likelihoods(ending, tmp_path) == likelihoods(tiny_llamas["bos"], tmp_path)


def likelihoods(model, folder, texts=(("Is ice cold?", " Yes, it is."), ("Is it?", " No"))):
    settings = OpenLlmConfig(suite="none", data=None, backend="transformers", dtype="float32", limit=None)
    asked = JournaledModel(ModelRef(str(model)), "default", settings, Job(Path("job"), folder, HOW))
    try:
        return asked.loglikelihood([SimpleNamespace(args=pair) for pair in texts])
    finally:
        asked.close()


def test_coherence_is_that_without_the_end(tiny_llamas, tmp_path):
    ending = with_tokenizer(tiny_llamas["plain"], tmp_path / "ending", add_end)
    found = [embedded(model, tmp_path)[0] for model in (ending, tiny_llamas["plain"])]
    assert found[0] == found[1]


def embedded(model, folder, pairs=PAIRS, **changes):
    write_records(folder / "pairs.jsonl", pairs)
    settings = CONFIG.coherence.model_copy(update={"embedding": None, "dtype": "float32", **changes})
    coherence(folder / "pairs.jsonl", folder / "c.jsonl", ModelRef(str(model)), settings, HOW)
    return read_records(folder / "c.jsonl", Coherence), read_json(folder / "c.meta.json")


@pytest.fixture
def padding(tiny_llamas, tmp_path):
    """A model whose tokenizer was given a pad token and a word of its own, without a row of the embedding."""

    def add(tokenizer):
        tokenizer.add_special_tokens({"pad_token": "[PAD]"})
        tokenizer.add_tokens(["wombat"])
        assert tokenizer.pad_token_id == loading.load_config(str(tiny_llamas["plain"]), None).vocab_size

    return with_tokenizer(tiny_llamas["plain"], tmp_path / "padding", add)


def test_a_record_with_a_token_outside_of_the_embedding_is_null_with_the_reason(padding, tmp_path, shared_data):
    (fault,) = read_pairs(shared_data / "faults" / "09_pad_token_in_text.json")
    beast = Pair(id="w", instruction="Name a beast.", output="A wombat.")
    found, meta = scored(padding, tmp_path, [PAIRS[0], fault, beast])
    assert [one.status for one in found] == ["scored", "failed", "failed"]
    assert found[1].reason == "token 49152 is outside of the model's 49152 embeddings"
    assert meta["counts"]["null"] == 2
    rows, _ = embedded(padding, tmp_path, [PAIRS[0], beast])
    assert [row.coherence is None for row in rows] == [False, True]
    assert rows[1].reason == "token 49153 is outside of the model's 49152 embeddings"
    good, bad = likelihoods(padding, tmp_path, (("Is ice cold?", " Yes."), ("Is it?", " A wombat")))
    assert math.isfinite(good[0])
    assert math.isnan(bad[0])


@pytest.mark.parametrize("layout", ["padded", "grouped", "padding_free"])
def test_a_model_finetuned_with_such_a_tokenizer_can_be_loaded_and_asked(padding, tmp_path, shared_data, layout):
    from transformers import AutoModelForCausalLM

    pairs = [*PAIRS, *read_pairs(shared_data / "faults" / "09_pad_token_in_text.json")]
    write_records(tmp_path / "t.jsonl", [*pairs, Pair(id="w", instruction="Name a beast.", output="A wombat.")])
    record = run(tmp_path / "t.jsonl", padding, tmp_path / "model", recipe(batches=layout, epochs=1.0))
    assert record["data"]["trained_on"] == 4
    assert record["data"]["dropped"] == {"token 49153 is outside of the model's 49152 embeddings": 1}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert loaded.config.pad_token_id == load_tokenizer(str(padding), None).pad_token_id == 2
    (tmp_path / "q.json").write_text(json.dumps([{"id": "1", "turns": ["Hi?"]}, {"id": "2", "turns": ["A wombat?"]}]))
    for model in (padding, tmp_path / "model"):
        found, meta = answered(model, tmp_path)
        assert [answer.id for answer in found] == ["1"]
        assert meta["unanswered"] == {"refused: token 49153 is outside of the model's 49152 embeddings": 1}


def answered(model, folder, **changes):
    settings = CONFIG.generate["sampled"].model_copy(update={"max_new_tokens": 5, "backend": "transformers", **changes})
    out = folder / f"{model.name}.answers.jsonl"
    wanted = [Wanted(str(folder / "q.json"), out, settings)]
    generate(wanted, ModelRef(str(model)), "vicuna_v1.1", HOW, folder / "cache")
    return read_records(out, Answer), read_json(folder / f"{model.name}.answers.meta.json")


def test_an_eos_outside_of_the_embedding_is_refused(tiny_llamas, tmp_path, train_file):
    folder = with_tokenizer(
        tiny_llamas["plain"], tmp_path / "base", lambda tokenizer: tokenizer.add_special_tokens({"eos_token": "[END]"})
    )
    with pytest.raises(InputError, match="end-of-sequence token 49152 is outside of the model's 49152 embeddings"):
        run(train_file, folder, tmp_path / "model")


@pytest.fixture
def short(tiny_llamas, tmp_path):
    """By architecture a model of 64 positions with the words of the tiny Llamas."""

    def of(kind, **changes):
        tokenizer = loading.load_tokenizer(str(tiny_llamas["plain"]), None)
        tiny(kind, len(tokenizer), 1, 2, 2, **changes).save_pretrained(tmp_path / kind)
        tokenizer.save_pretrained(tmp_path / kind)
        return tmp_path / kind

    return of


LEARNED = [("gpt2", {"n_positions": 64}), ("opt", {"max_position_embeddings": 64}), ("mpt", {"max_seq_len": 64})]


@pytest.mark.parametrize(("kind", "changes"), LEARNED)
def test_a_table_of_positions_cuts_texts_and_says_so(short, tmp_path, shared_data, capsys, kind, changes):
    model = short(kind, **changes)
    pairs = [PAIRS[0], *read_pairs(shared_data / "faults" / "08_learned_positions_long.json")]
    template = tmp_path / "template.yaml"
    template.write_text('without_input: "{instruction} "\nwith_input: "{instruction} {input} "\n')
    found, meta = scored(model, tmp_path, pairs, template=str(template), max_length=2048)
    assert found[0].status == "scored"
    assert found[1].ifd is not None or "truncation left no target token" in found[1].reason
    assert "nll_response_given_instruction" in found[1].truncated
    assert (meta["max_length"], meta["positions"], meta["settings"]["max_length"]) == (64, 64, 2048)
    cut = "max_length: 2048 is beyond the model's 64 positions: texts are cut at 64 tokens"
    assert f"score: {cut}" in capsys.readouterr().err
    _, meta = embedded(model, tmp_path, pairs, max_length=2048)
    assert meta["max_length"] == 64
    assert f"coherence: {cut}" in capsys.readouterr().err
    write_records(tmp_path / "t.jsonl", pairs)
    record = run(tmp_path / "t.jsonl", model, tmp_path / "m", recipe(max_length=2048, epochs=1.0, prompt="alpaca"))
    assert (record["data"]["max_length"], record["settings"]["max_length"]) == (64, 2048)
    assert f"finetune: {cut}" in capsys.readouterr().err
    (tmp_path / "q.json").write_text(json.dumps([{"id": "1", "turns": ["Hi?"]}, {"id": "2", "turns": ["word " * 90]}]))
    answers, meta = answered(model, tmp_path)
    assert [answer.id for answer in answers] == ["1"]
    assert meta["max_total_tokens"] == 64
    assert all(math.isfinite(value) for value, _ in likelihoods(model, tmp_path, [("word " * 90, "end")]))


def test_rotary_positions_go_on_with_a_word(tiny_llamas, tmp_path, capsys):
    _, meta = scored(tiny_llamas["plain"], tmp_path, max_length=2048)
    assert (meta["max_length"], meta["positions"]) == (2048, 512)
    told = "score: max_length: 2048 is beyond the model's 512 positions: longer texts are beyond what it was trained on"
    assert capsys.readouterr().err.count(told) == 1
    scored(tiny_llamas["plain"], tmp_path, name="short", max_length=512)
    assert "is beyond the model" not in capsys.readouterr().err


def test_the_limits_that_configs_name():
    from transformers import AutoConfig

    def of(kind, **changes):
        return limits.of_config(AutoConfig.for_model(kind, **changes))[1:]

    assert of("gpt2") == (1024, True)
    assert of("opt") == (2048, True)
    assert of("mpt", max_seq_len=512) == (512, True)
    assert of("llama", max_position_embeddings=4096) == (4096, False)
    stretched = {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}
    assert of("llama", max_position_embeddings=2048, rope_parameters=stretched) == (8192, False)
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768, "rope_theta": 1e6}
    assert of("qwen2", max_position_embeddings=32768, rope_parameters=yarn) == (131072, False)
    assert of("qwen2", max_position_embeddings=131072, rope_parameters=yarn) == (131072, False)
    for kind, changes in (("bloom", {}), ("mamba", {}), ("falcon", {"alibi": True})):
        assert of(kind, **changes) == (None, False)


def test_a_training_says_it_once(tiny_llamas, tmp_path, train_file, capsys):
    run(train_file, tiny_llamas["plain"], tmp_path / "m", recipe(max_length=2048, epochs=1.0), execution())
    assert capsys.readouterr().err.count("finetune: max_length: 2048 is beyond the model's 512 positions") == 1
