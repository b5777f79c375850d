"""What `mera go` runs up to the report, and the run that then ranks new patients or notes."""

from collections.abc import Sequence
from pathlib import Path

from mera.commands.programs import Step, mera_command
from mera.runs.records import PREPARED

BASELINES_ON_NOTES = ("dictionary", "words-and-letters", "bm25", "phrase-trees")
FOLDS = 5
"""Of the training notes, which the trees are fitted on."""
VARIANT = "laa_mrl"
PAST_NOTE_TOKENS = 256
"""Of the notes of past visits, in the prompts of stage two."""


def diagnosis_steps(table: Path, output: Path, options: Sequence[str], recipe: str | None) -> tuple[list[Step], Path]:
    """Baselines and both stages. `options`: of `mera prepare table`; `recipe`: of both stages."""
    task, runs = output / PREPARED, output / "runs"
    one, two = runs / "memorize", runs / "stage-two"
    trains_on = ("--recipe", recipe, "--task", task)
    notes = ("--prompt.past_note_tokens", PAST_NOTE_TOKENS) if "--past-notes" in options else ()
    steps = [
        _prepare(table, task, *options, "--every-visit", "--first-visits"),
        Step(
            name="baselines",
            command=mera_command("baselines", "--task", task, "--output", runs),
            results=(),  # it keeps what has finished itself
        ),
        Step(
            name="stage one: memorize the codes",
            command=mera_command("memorize", *trains_on, "--output", one),
            results=(one,),
        ),
        Step(
            name="stage two: rank the next diagnoses",
            command=mera_command("rank", *trains_on, *notes, "--model.base", one / "checkpoint", "--output", two),
            results=(two,),
        ),
    ]
    return steps, two


def coding_steps(table: Path, output: Path, options: Sequence[str], recipe: str | None) -> tuple[list[Step], Path]:
    """Four baselines on notes, fused by trees, which takes no GPU; and, with the `recipe` of one, a bi-encoder, with
    which the fusion is fused by a sum. `options`: of `mera prepare table`."""
    task, runs = output / PREPARED, output / "runs"
    parts, fused = [runs / name for name in BASELINES_ON_NOTES], runs / "fused"
    steps = [
        _prepare(table, task, *options),
        Step(
            name="dictionary, words and letters, BM25, phrase trees",
            command=mera_command(
                *("retrieval-baselines", "--task", task, "--output", runs, "--only", *BASELINES_ON_NOTES),
                *("--candidate_folds", FOLDS, "--refit", "true"),
            ),
            results=(),  # it keeps what has finished itself
        ),
        Step(
            name="fuse them",
            command=mera_command("fuse", *parts, "--form", "trees", "--output", fused),
            results=(fused,),
        ),
    ]
    if recipe is None:
        return steps, fused
    of_recipe = f"{VARIANT}-{Path(recipe).stem}"
    trained, whole = runs / of_recipe, runs / f"fused-{of_recipe}"
    of_bi_encoder = [
        Step(
            name="the bi-encoder",
            command=mera_command(
                *("retrieve", "--recipe", recipe, "--variant", VARIANT, "--task", task, "--output", trained)
            ),
            results=(trained,),
        ),
        Step(
            name="fuse it with the others",
            command=mera_command("fuse", fused, trained, "--output", whole),
            results=(whole,),
        ),
    ]
    return [*steps, *of_bi_encoder], whole


def _prepare(table: Path, task: Path, *options: str) -> Step:
    return Step(
        name="prepare the table",
        command=mera_command("prepare", "table", "--input", table, *options, "--output", task),
        results=(task,),
    )
