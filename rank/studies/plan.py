"""What `mera study` was asked for, and the ordinary commands that its models are trained by."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mera.commands.programs import Step, accelerate_command, mera_command
from mera.config import Recipe, read_values
from mera.system.errors import UserError
from rank.ablations.plan import START_KEYS, arguments_of, start_of


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyPlan:
    """One study."""

    task: Path
    output: Path
    """Gets `tasks`, `runs`, perhaps `memorize`, and at the end `study`."""
    recipe: Path
    """Of stage two."""
    memorize_recipe: Path
    """Of stage one, where the study trains it."""
    memorize: Path | None = None
    """Checkpoint of stage one; None: the study trains it first."""
    overrides: tuple[str, ...] = ()
    """Further arguments of every training of stage two, `--key value`."""
    seeds: int = 3
    """Trainings of each model, with the seeds 0, 1, ..."""
    sizes: tuple[int, ...] = ()
    """`learning-curve`: patients of train; all of them besides."""
    validation_share: float = 0.2
    """`learning-curve`: patients of validation for each of train, at least LEAST_VALIDATION; 0: all."""
    models: tuple[str, ...] = ()
    """Names of models; empty: all of the study."""
    run: Path | None = None
    """`eov`, `ontology-distance`: a finished run of stage two."""
    engine: Path | None = None
    """accelerate configuration"""
    least_effect: float = 0.01
    """The smallest difference that would matter, as a share (0.01: a point)."""
    resamples: int = 1000

    def checkpoint(self) -> Path:
        """The checkpoint of stage one, which may still have to be trained. Raises UserError where the one that was
        given is none."""
        if self.memorize is None:
            return self.output / "memorize" / "checkpoint"
        if not (self.memorize / "code_tokens.json").is_file():
            raise UserError(
                f"no checkpoint of stage one at {self.memorize}: give the checkpoint of memorize/train.py, or leave "
                "--memorize out and the study trains one"
            )
        return self.memorize


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyModel:
    """A model that a study trains, or a baseline."""

    name: str
    label: str
    keys: Recipe = field(default_factory=dict)
    """Dotted keys of stage two that it changes."""
    has_stage_one: bool = True
    """False: it starts where stage one started."""
    is_baseline: bool = False


LIBRARY = {"initialisation": "library"}
OPEN = {"wide": "none", "loss.untrained": "ignore"}
MODELS = (
    StudyModel(name="stage-two", label="stage two"),
    StudyModel(name="no-stage-one", label="without stage one", has_stage_one=False),
    StudyModel(name="library-init", label="without, library's init", has_stage_one=False, keys=LIBRARY),
    StudyModel(name="no-hierarchy", label="without hierarchy", keys={"loss.levels": ["all"]}),
    StudyModel(name="open", label="stage two, open", keys=OPEN),
    StudyModel(name="open-no-stage-one", label="open, without stage one", has_stage_one=False, keys=OPEN),
    StudyModel(name="open-library-init", label="open, library's init", has_stage_one=False, keys=OPEN | LIBRARY),
    StudyModel(name="wide", label="wide part alone", is_baseline=True),
    StudyModel(name="gbdt", label="LightGBM on pairs", is_baseline=True),
    StudyModel(name="retain", label="RETAIN", is_baseline=True),
    StudyModel(name="transformer", label="Transformer encoder", is_baseline=True),
    StudyModel(name="ease", label="EASE", is_baseline=True),
    StudyModel(name="item-knn", label="item-kNN", is_baseline=True),
    StudyModel(name="linear", label="linear", is_baseline=True),
    StudyModel(name="own-history", label="own history", is_baseline=True),
    StudyModel(name="popularity", label="popularity", is_baseline=True),
)
"""`open`: without the wide part, and with codes that were no training target out of the loss instead of negatives."""


def chosen_models(plan: StudyPlan, default: Sequence[str]) -> list[StudyModel]:
    """The models asked for, or `default`, in the order of MODELS. Raises UserError on an unknown name."""
    by_name = {model.name: model for model in MODELS}
    for name in plan.models:
        if name not in by_name:
            raise UserError(f"no model of a study is called {name!r}; there are {', '.join(by_name)}")
    return [model for model in MODELS if model.name in (plan.models or default)]


def memorize_steps(plan: StudyPlan, models: Sequence[StudyModel]) -> list[Step]:
    """Stage one on the whole task, where the study has to train it. It reads codes and no patient, so one serves all
    sizes and seeds."""
    if plan.memorize is not None or not any(model.has_stage_one and not model.is_baseline for model in models):
        return []
    output = plan.checkpoint().parent
    command = mera_command("memorize", "--recipe", plan.memorize_recipe, "--task", plan.task, "--output", output)
    return [Step(name="stage one", command=command, results=(output,))]


def model_steps(plan: StudyPlan, models: Sequence[StudyModel], task: Path, runs: Path, seed: int) -> list[Step]:
    """The trainings of `models` on `task`: one command for each of stage two, one for all baselines. Each leaves the
    run `runs`/its name."""
    steps = []
    baselines = [model.name for model in models if model.is_baseline]
    if baselines:
        command = mera_command("baselines", "--task", task, "--output", runs, "--seed", seed, "--only", *baselines)
        steps.append(
            Step(name=f"{runs.name}, baselines", command=command, results=tuple(runs / name for name in baselines))
        )
    for model in models:
        if model.is_baseline:
            continue
        keys = {"model.base": str(plan.checkpoint())} | model.keys | {"training.seed": seed}
        if not model.has_stage_one:
            keys |= _start(plan)
        result = runs / model.name
        where = ("--task", task, "--output", result, "--name", model.label)
        command = accelerate_command(
            "rank/train.py", "--config", plan.recipe, *plan.overrides, *where, *arguments_of(keys), engine=plan.engine
        )
        steps.append(Step(name=f"{runs.name}, {model.label}", command=command, results=(result,)))
    return steps


def _start(plan: StudyPlan) -> Recipe:
    """The keys of the base model that stage one starts from."""
    if plan.memorize is not None:
        return start_of(plan.memorize)
    model = read_values(plan.memorize_recipe).get("model", {})
    return {"model.base": None} | {f"model.{key}": model[key] for key in START_KEYS if key in model}


def check_overrides(plan: StudyPlan) -> None:
    """Raise UserError where the further arguments are no pairs of key and value, or a number makes no sense."""
    if len(plan.overrides) % 2 or not all(key.startswith("--") for key in plan.overrides[::2]):
        raise UserError(f"further arguments are pairs, --key value; got {' '.join(plan.overrides)}")
    if plan.seeds < 1 or plan.resamples < 1 or plan.least_effect <= 0 or plan.validation_share < 0:
        raise UserError(
            "--seeds and --resamples must be 1 or more, --least-effect above 0, --validation-share 0 or more"
        )
