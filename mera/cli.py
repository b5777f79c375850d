"""The `mera` command. It starts the stages as subprocesses, so that what it runs is what the README shows."""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from mera.root import ROOT
from mera.system.children import run_child
from mera.system.safe_group import SafeGroup
from mera.system.terminal import be_verbose, plain_console

app = typer.Typer(
    cls=SafeGroup,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def print_version(wanted: bool) -> None:
    if wanted:
        print(f"mera {metadata.version(DISTRIBUTION)}")
        raise typer.Exit()


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="print the version and exit")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="also show what libraries show, and every number that is logged")
    ] = False,
) -> None:
    """Rank ICD diagnosis codes with a language model that memorized them, and compare it honestly."""
    if verbose:
        be_verbose()


DISTRIBUTION = "mera-icd"
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=PASS_THROUGH)
def prepare(context: typer.Context) -> None:
    """Turn hospital tables into a prepared task. `mera prepare diabetes130 --input FILE --output prepared/NAME`."""
    _run([sys.executable, "-m", "data.prepare", *context.args])


@app.command(context_settings=PASS_THROUGH)
def join(context: typer.Context) -> None:
    """Several tables of an export as one. `mera join diagnoses.csv stays.csv patients.csv --output visits.csv`."""
    _run([sys.executable, "-m", "data.sources.shared.own_table.run_join", *context.args])


@app.command(context_settings=PASS_THROUGH)
def download(context: typer.Context) -> None:
    """Fetch an open data set from its publisher, checked, or see whom to ask. `mera download diabetes130`."""
    _run([sys.executable, "-m", "data.prepare.download.run_download", *context.args])


@app.command(context_settings=PASS_THROUGH)
def sample(context: typer.Context) -> None:
    """A task with fewer patients to train on. `mera sample prepared/X --patients 500 --output prepared/X-500`."""
    _run([sys.executable, "-m", "data.prepare.run_sample", *context.args])


@app.command(context_settings=PASS_THROUGH)
def inspect(context: typer.Context) -> None:
    """What is in a prepared task. `mera inspect prepared/NAME --plot figures.svg`."""
    _run([sys.executable, "-m", "data.inspection.inspect_task", *context.args])


@app.command(context_settings=PASS_THROUGH)
def ontology(context: typer.Context) -> None:
    """What codes are called, and books of it. `mera ontology add FILE` fills one, `mera ontology show E11.9` asks."""
    _run([sys.executable, "-m", "data.codes.book.run_ontology", *context.args])


@app.command(context_settings=PASS_THROUGH)
def memorize(context: typer.Context) -> None:
    """Stage one, until the model knows every code. `mera memorize --task prepared/X --output runs/X/one`."""
    _train("memorize", "memorize", context.args)


@app.command(context_settings=PASS_THROUGH)
def rank(context: typer.Context) -> None:
    """Stage two, the ranking of a patient's next diagnoses.
    `mera rank --model.base runs/X/one/checkpoint --task prepared/X --output runs/X/two`."""
    _train("rank", "rank", context.args)


@app.command(context_settings=PASS_THROUGH)
def retrieve(context: typer.Context) -> None:
    """The bi-encoder, which finds the codes of a text.
    `mera retrieve --variant laa_mrl --task prepared/X --output runs/X/laa_mrl`."""
    _train("bi_encoder", "retrieve", context.args)


@app.command(context_settings=PASS_THROUGH)
def baselines(context: typer.Context) -> None:
    """Simple models to beat, own history to LightGBM. `mera baselines --task prepared/X --output runs/X`."""
    _run([sys.executable, str(ROOT / "rank" / "run_baselines.py"), *context.args])


@app.command(context_settings=PASS_THROUGH)
def predict(context: typer.Context) -> None:
    """Rank patients or notes. `mera predict runs/rank --history "428.0;584.9"`, `... runs/fused --text "AKI"`."""
    from mera.commands.predict import predict_command

    _run(predict_command(context.args))


@app.command(context_settings=PASS_THROUGH)
def search(context: typer.Context) -> None:
    """Codes that a phrase or a note speaks of, with evidence. `mera search "flash pulmonary edema, hx CHF"`."""
    _run([sys.executable, str(ROOT / "bi_encoder" / "run_search.py"), *context.args])


@app.command(context_settings=PASS_THROUGH, name="retrieval-baselines")
def retrieval_baselines(context: typer.Context) -> None:
    """BM25, dictionary, words, trees on notes. `mera retrieval-baselines --task prepared/NAME --output runs/NAME`."""
    _run([sys.executable, str(ROOT / "bi_encoder" / "run_retrieval_baselines.py"), *context.args])


@app.command(context_settings=PASS_THROUGH)
def recall(context: typer.Context) -> None:
    """What a checkpoint knows of the codes. `mera recall runs/memorize/checkpoint --task prepared/NAME`."""
    _run([sys.executable, str(ROOT / "memorize" / "run_recall.py"), *context.args])


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="run directories, each with a predictions folder")],
    output: Annotated[Path, typer.Option(help="directory to write: index.html, report.md, report.json")],
    by_task: Annotated[bool, typer.Option("--by-task", help="runs of several tasks: a section for each")] = False,
    bootstrap_samples: Annotated[int, typer.Option(help="resamples behind the intervals and tests")] = 1000,
    seed: Annotated[int, typer.Option(help="seed of the resamples")] = 0,
    reference: Annotated[str | None, typer.Option(help="run that ablations are compared with")] = None,
    with_examples: Annotated[int, typer.Option(min=0, help="also pages of the first N patients, with their data")] = 0,
    rare_codes: Annotated[bool, typer.Option("--rare-codes", help="name codes of few patients (public data)")] = False,
    no_date: Annotated[bool, typer.Option("--no-date", help="leave out the date: same runs, same bytes")] = False,
    title: Annotated[str | None, typer.Option(help="heading of the page")] = None,
    subtitle: Annotated[str | None, typer.Option(help="below it; default: how many models on which task")] = None,
    author: Annotated[str | None, typer.Option(help="who answers for the report")] = None,
    sections: Annotated[str, typer.Option(help="core (at most 12 printed pages), all, or a list: best,rare")] = "all",
) -> None:
    """Compare runs on the same task, side by side. `mera report runs/a runs/b --output report/`."""
    from mera.report import write_report

    with plain_console(stderr=True).status(f"comparing {len(runs)} runs with {bootstrap_samples:,} resamples"):
        page = write_report(
            runs,
            output,
            by_task=by_task,
            bootstrap_samples=bootstrap_samples,
            seed=seed,
            reference=reference,
            with_examples=with_examples,
            rare_codes=rare_codes,
            date_line=not no_date,
            title=title,
            subtitle=subtitle,
            author=author,
            sections=sections,
        )
    if with_examples:
        print(f"warning: {page.parent / 'examples'} holds patients' data; do not pass it on", file=sys.stderr)
    print(page)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="run directories on one task")],
    bootstrap_samples: Annotated[int, typer.Option(help="resamples behind the intervals and tests")] = 1000,
    seed: Annotated[int, typer.Option(help="seed of the resamples")] = 0,
    markdown: Annotated[bool, typer.Option("--markdown", help="a line of Markdown for each model instead")] = False,
) -> None:
    """The main table in the terminal. `mera compare runs/a runs/b`."""
    from mera.report import print_comparison

    print_comparison(runs, bootstrap_samples=bootstrap_samples, seed=seed, markdown=markdown)


@app.command()
def runs(folder: Annotated[Path, typer.Argument(help="folder with runs, at any depth")] = Path("runs")) -> None:
    """What runs there are, finished or not, and their main figures. `mera runs runs/X`."""
    from mera.commands.list_runs import print_runs

    print_runs(folder)


@app.command()
def pool(
    runs: Annotated[list[Path], typer.Argument(help="one run for each fold, all of the same model")],
    output: Annotated[Path, typer.Option(help="run directory to write")],
) -> None:
    """Put the folds of a k-fold task together. `mera pool runs/demo-fold*/linear --output runs/demo/linear`."""
    from mera.runs.pool import pool_folds

    print(pool_folds(runs, output))


@app.command()
def fuse(
    runs: Annotated[list[Path], typer.Argument(help="run directories on one task, each with validation predictions")],
    output: Annotated[Path, typer.Option(help="run directory to write")],
    name: Annotated[str | None, typer.Option(help="the fusion's name in the report; default: of its parts")] = None,
    form: Annotated[Literal["sum", "trees"], typer.Option(help="a weighted sum, or trees on top of it")] = "sum",
) -> None:
    """Several models as one. `mera fuse runs/dictionary runs/bm25 runs/laa_mrl --output runs/fused`.

    Weights, and an offset for each group of code frequencies, are fitted on the runs' validation predictions; the
    result is a run like any other. `--form trees` reads training scores out of fold too. See docs/fusion.md."""
    from mera.commands.fusion.fuse import fuse_runs

    print(fuse_runs(runs, output, name, form))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="run of any model, baseline or fusion that `mera predict` takes")],
    to: Annotated[Path, typer.Option(help="folder to write, which must not exist")],
    with_note_phrases: Annotated[bool, typer.Option("--with-note-phrases", help="also words of notes")] = False,
) -> None:
    """A model to pass on, nothing of a patient in it. `mera export runs/X/stage-two --to models/X`.

    Weights, tokenizer, model card (README.md with the front matter of a hub), recipe, versions, figures on the test
    split; of a fusion its parts. Predictions, ids, notes and paths stay behind. See docs/export.md."""
    from mera.commands.export.run_export import export_run

    exported = export_run(run, to, with_note_phrases)
    for sentence in exported.sentences():
        print(sentence, file=sys.stderr)
    print(exported.folder)


@app.command(context_settings=PASS_THROUGH)
def ablate(context: typer.Context) -> None:
    """Stage two with one thing taken away at a time. `mera ablate --task prepared/X --output runs/ablations/X`."""
    _run([sys.executable, str(ROOT / "rank" / "ablations" / "run_ablations.py"), *context.args])


@app.command(context_settings=PASS_THROUGH)
def study(context: typer.Context) -> None:
    """Where knowledge should pay, as experiments.
    `mera study learning-curve --task prepared/X --output studies/X`."""
    _run([sys.executable, str(ROOT / "rank" / "studies" / "run_study.py"), *context.args])


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def go(
    context: typer.Context,
    table: Annotated[Path, typer.Argument(help="CSV, Parquet, Excel, Stata ...: a row a diagnosis, a visit or a note")],
    output: Annotated[Path, typer.Option(help="directory for everything it makes")] = Path("mera-go"),
    recipe: Annotated[str | None, typer.Option(help="of both stages (default: tiny); of a bi-encoder of notes")] = None,
) -> None:
    """From your own table to a model and a report.
    `mera go visits.csv --output mine`, `mera go notes.csv --kind coding`. It guesses what the columns are;
    every option of `mera prepare table` (`--code icd --code-system icd10`) says what it cannot guess."""
    from mera.commands.go import run_go

    print(run_go(table, output, context.args, recipe))


@app.command(context_settings=PASS_THROUGH)
def seeds(context: typer.Context) -> None:
    """A recipe of the bi-encoder with several seeds.
    `mera seeds --recipe NAME --task TASK --output DIR --seeds 3`."""
    _run([sys.executable, str(ROOT / "bi_encoder" / "reruns" / "run_seeds.py"), *context.args])


@app.command(name="serve")
def serve_page(
    checkpoint: Annotated[Path, typer.Argument(help="run that ranks patients (stage two, a fusion), or notes alone")],
    bi_encoder: Annotated[
        Path | None, typer.Option(help="run of a bi-encoder or a fusion, which reads notes beside stage two")
    ] = None,
    port: Annotated[int, typer.Option(help="of 127.0.0.1; 0: any free one")] = 8000,
) -> None:
    """A page on this machine, and the endpoints behind it. `mera serve runs/X/stage-two --bi-encoder runs/X/laa_mrl`.

    It prints the address with its token, which is all that lets one in. Enter visits for the next diagnoses, or a note
    for its codes; nothing entered is stored or logged. `/openapi.json` describes `/rank`, `/rank/batch`, `/notes`,
    `/codes` and `/code/{code}`. See docs/serve.md; needs the extra `serve` (`pip install fastapi uvicorn`)."""
    from mera.commands.serve.run import serve

    serve(checkpoint, bi_encoder, port)


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="directory for everything the demo makes")] = Path("demo"),
    fresh: Annotated[bool, typer.Option("--fresh", help="start over instead of keeping finished stages")] = False,
) -> None:
    """Everything on an invented cohort, on a CPU, in minutes; it prints the path of the report last."""
    from mera.commands.demo import run_demo

    print(run_demo(output, fresh=fresh))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def doctor(
    context: typer.Context,
    recipe: Annotated[str, typer.Option("--recipe", "--config", help="a YAML file, or with --stage a name")],
    stage: Annotated[str | None, typer.Option(help="memorize, rank or bi_encoder; default: the recipe tells")] = None,
    engine: Annotated[str | None, typer.Option("--engine", "--accelerate", help="as `mera rank` takes it")] = None,
    num_processes: Annotated[int | None, typer.Option(help="instead of the engine's number")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Before a long run: its memory, steps and disk, and what is missing.
    `mera doctor --stage rank --recipe tiny --task prepared/NAME`.
    Every key of the recipe is an option here too; exit code 1 where something is missing."""
    from mera.commands.stages import recipe_and_engine
    from mera.doctor.examination import examine
    from mera.doctor.pages import print_examination

    with plain_console(stderr=True).status("building the model without its weights"):
        files = recipe_and_engine(recipe, stage, engine)
        examination = examine(files.recipe, context.args, stage, files.engine, num_processes)
    if as_json:
        print(examination.as_json())
    else:
        print_examination(examination, plain_console())
    raise typer.Exit(1 if examination.missing else 0)


def _train(stage: str, command: str, arguments: list[str]) -> None:
    from mera.commands.stages import stage_command
    from mera.config import STARTED_AS

    os.environ[STARTED_AS] = f"mera {command}"
    _run(stage_command(stage, command, arguments))


def _run(command: list[str]) -> None:
    raise typer.Exit(run_child(command))


if __name__ == "__main__":
    app()
