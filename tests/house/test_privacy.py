"""Nothing of a patient leaves `prepared/`, `predictions/` and `validation/`: three trainers on rows with canaries."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task

from bi_encoder.inputs.texts import SHARED_BY, tokenizer_texts
from data.task import SPLITS, save_task
from mera.report import write_report
from mera.root import ROOT

SURNAME, PATIENT, EXAMPLE = "Zyxquander", "PATIENT-QWXZ-7781", "EXAMPLE-QWXZ-7782"
DAYS_BEFORE = 1_377_813_559
"""Ten digits: logs are full of times whose fractions of a second have any nine."""
RARE_CODE, RARE_DEFINITION = "Q99.7XQ", "Vortlemby wobbling syndrome"
ROWS_OF_ONE_PATIENT = {"train": 2, "validation": 1, "test": 1}
CANDIDATE_LISTS = {
    "added_tokens.json",
    "bi_encoder.json",
    "code_tokens.json",
    "memorized.json",
    "codes.safetensors",
    "ranking.json",
    "tokenizer.json",
    "tokenizer_config.json",
}
"""A trained model's answers: these files list every candidate code, whoever had it."""
SMALL_ENCODER = {
    "model_type": "modernbert",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
STAGES = '''
"""Runs entry scripts one after the other, each in a process of its own that has the libraries already."""
import json, os, runpy, sys
import peft, sentence_transformers, torch, transformers, trl
import rank.trainer

plan = json.load(open(sys.argv[1]))

def crash(*arguments, **more):
    raise ValueError(plan["message"])

codes = []
for script, crashing, *arguments in plan["stages"]:
    child = os.fork()
    if not child:
        if crashing:
            rank.trainer.RankTrainer.compute_loss = crash
        sys.argv = [script, *arguments]
        try:
            runpy.run_path(script, run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code
        sys.stdout.flush()
        sys.stderr.flush()
        import wandb
        wandb.teardown()
        os._exit(status or 0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print("exit codes", codes)
'''


def plant_canaries(folder):
    """A coding task with one patient in each split whose name, ids and rare code stand nowhere else."""
    plain = make_tiny_task(folder / "plain", kind="coding", patients=80)
    splits = {}
    for name in SPLITS:
        rows = list(plain.splits[name])
        for number in range(ROWS_OF_ONE_PATIENT[name]):
            rows[number] |= {
                "example_id": f"{EXAMPLE}-{name}-{number}",
                "patient_id": f"{PATIENT}-{name}",
                "text": f"{rows[number]['text']} " + f"Mr. {SURNAME} says so. " * 40,
                "history": [{"codes": [RARE_CODE, "I10"], "days_before": DAYS_BEFORE}, *rows[number]["history"]],
                "targets": [*rows[number]["targets"], RARE_CODE],
            }
        splits[name] = rows
    rare = plain.code_table.head(1).with_columns(
        code=pl.lit(RARE_CODE), definition=pl.lit(RARE_DEFINITION), synonyms=pl.col("synonyms").list.head(0)
    )
    codes = pl.concat([plain.code_table, rare]).drop("train_count")
    groups = pl.DataFrame(
        [(level, group, name) for level, names in plain.group_names.items() for group, name in names.items()],
        schema=["level", "group", "name"],
        orient="row",
    )
    info = {key: plain.info[key] for key in ("kind", "source", "ontology", "edition", "protocol")}
    return save_task(folder / "planted", splits, codes, groups, info)


def without_code(task, path):
    """A damaged task: its examples hold a code that is no candidate."""
    for file in task.path.rglob("*"):
        if file.is_file():
            target = path / file.relative_to(task.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    pl.read_parquet(path / "codes.parquet").filter(pl.col("code") != RARE_CODE).write_parquet(path / "codes.parquet")
    return path


def stage(sandbox, script, task, output, *more, crashing=False, **settings):
    options = [part for key, value in settings.items() for part in (f"--{key.replace('__', '.')}", json.dumps(value))]
    return [
        *(str(ROOT / script), crashing, "--config", str(ROOT / Path("configs") / Path(script).parent / "tiny.yaml")),
        *("--task", str(task), "--output", str(sandbox / "runs" / output), "--training.tracking", "wandb"),
        *("--training.epochs", "2", "--training.min_steps", "0", "--training.batch_size", "16", *options, *more),
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A sandbox in which all three trainers ran (and two crashed) on rows with canaries, and what they printed."""
    sandbox = tmp_path_factory.mktemp("sandbox")
    task = plant_canaries(sandbox / "prepared")
    damaged = without_code(task, sandbox / "prepared" / "damaged")
    small = {"model__base": None, "model__architecture": ARCHITECTURE}
    encoder = {"encoder__architecture": SMALL_ENCODER, "encoder__max_query_tokens": 128}
    stages = [
        stage(sandbox, "memorize/train.py", task.path, "memorize", **small),
        stage(sandbox, "rank/train.py", task.path, "rank", **small),
        stage(sandbox, "bi_encoder/train.py", task.path, "bi_encoder", **encoder),
        stage(sandbox, "rank/train.py", damaged, "damaged", **small),
        stage(sandbox, "rank/train.py", task.path, "crashed", crashing=True, **small),
    ]
    (sandbox / "home").mkdir()
    (sandbox / "tmp").mkdir()
    plan = {"stages": stages, "message": f"cannot read {SURNAME} of {PATIENT}"}
    (sandbox / "prepared" / "stages.py").write_text(STAGES)
    (sandbox / "prepared" / "stages.json").write_text(json.dumps(plan))
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    environment = kept | {
        "PYTHONPATH": str(ROOT),
        "HOME": str(sandbox / "home"),
        "TMPDIR": str(sandbox / "tmp"),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [sys.executable, str(sandbox / "prepared" / "stages.py"), str(sandbox / "prepared" / "stages.json")],
        cwd=sandbox,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "exit codes [0, 0, 0, 1, 1]" in done.stdout, done.stderr[-3000:]
    write_report([sandbox / "runs" / name for name in ("rank", "bi_encoder")], sandbox / "report", bootstrap_samples=50)
    return sandbox, task, done.stdout + done.stderr


def written_outside(sandbox):
    """Every file that may leave the hospital, by its path in the sandbox."""
    return {
        path.relative_to(sandbox): path.read_bytes()
        for path in sorted(sandbox.rglob("*"))
        if path.is_file() and not {"prepared", "predictions", "validation"} & set(path.relative_to(sandbox).parts)
    }


def test_no_canary_leaves_prepared_and_predictions(trained):
    sandbox, _, printed = trained
    found = written_outside(sandbox)
    names = {path.name for path in found}
    assert {"model.safetensors", "tokenizer.json", "manifest.json", "index.html", "metrics.json"} <= names
    assert [path for path in found if path.suffix == ".wandb"]
    never = [SURNAME, PATIENT, EXAMPLE, str(DAYS_BEFORE), "QWXZ"]
    for path, content in found.items():
        for canary in (*never, *([] if path.name in CANDIDATE_LISTS else [RARE_CODE, RARE_DEFINITION])):
            assert canary.encode() not in content, f"{canary} in {path}"
    for canary in (*never, RARE_CODE, RARE_DEFINITION):
        assert canary not in printed


def test_the_search_would_find_the_canaries(trained):
    """They are where they belong, and W&B did record the runs."""
    sandbox, task, _ = trained
    stored = b"".join(path.read_bytes() for path in task.path.rglob("*.arrow"))
    assert all(canary.encode() in stored for canary in (SURNAME, PATIENT, EXAMPLE, RARE_CODE))
    context = pl.read_parquet(sandbox / "runs" / "rank" / "predictions" / "context.parquet")
    assert SURNAME in context["text"][0]
    tracked = b"".join(content for path, content in written_outside(sandbox).items() if path.suffix == ".wandb")
    assert tracked.count(b"train_loss") >= 3
    assert b"recall_at_20" in tracked


def test_a_damaged_task_is_refused_in_a_sentence(trained):
    assert "codes.parquet" in next(line for line in trained[2].splitlines() if "was changed" in line)


def test_a_crash_says_where_and_hides_what_it_stumbled_over(trained):
    printed = trained[2]
    hidden = "(its message is hidden: it may quote a patient's data; MERA_TRACEBACK=1 shows it)"
    assert f"error: ValueError {hidden}" in printed
    assert "in compute_loss" in printed or "in crash" in printed


def test_a_tokenizer_learns_only_words_that_patients_share(trained):
    task = trained[1]
    notes = [text for text in task.splits["train"]["text"] if SURNAME in text]
    assert len(notes) == 2
    learnt = " ".join(tokenizer_texts(task)).split()
    assert SURNAME not in learnt
    assert "Patient" in learnt
    spread = {
        word: len({row["patient_id"] for row in task.splits["train"] if word in row["text"].split()})
        for word in ("Patient", SURNAME)
    }
    assert spread["Patient"] >= SHARED_BY > spread[SURNAME]
