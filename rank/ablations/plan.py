"""Stage two as its recipe says, and again with one thing taken away or changed: which runs `mera ablate` makes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mera.commands.programs import Step, accelerate_command, script_command
from mera.config import Recipe, read_values
from mera.system.errors import UserError

FULL = "full"
ORDERS = (1, 2, 4)
ATLOP_EOV = {"loss.threshold_form": "atlop", "loss.threshold_weight": 0.2}
START_KEYS = ("base", "gguf_file", "architecture", "tokenizer_size", "max_length")
"""What of a stage-one run's `model` section says where it started."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One model of the comparison: its name, what tables call it, and the keys that it changes."""

    name: str
    label: str
    keys: Recipe = field(default_factory=dict)
    """dotted"""
    trains: bool = True
    """False: the full model as it was trained, and only its test patients are scored in another way"""


@dataclass(frozen=True, kw_only=True, slots=True)
class AblationPlan:
    """What `mera ablate` was asked for."""

    task: Path
    output: Path
    recipe: Path
    memorize: Path | None = None
    """checkpoint of stage one; None: the recipe's model.base"""
    overrides: tuple[str, ...] = ()
    """arguments of every training, `--key value`"""
    only: tuple[str, ...] = ()
    """names of variants; empty: all. The full model always runs, since the others are compared with it."""
    seeds: int = 1
    """trainings of each variant, with the seeds 0, 1, ..."""
    engine: Path | None = None
    """accelerate configuration"""

    def checkpoint(self) -> Path:
        """The checkpoint of stage one. Raises UserError where there is none."""
        base = self.memorize or self.value("model.base")
        if base is None or not (Path(base) / "code_tokens.json").is_file():
            raise UserError(
                f"no checkpoint of stage one at {base}: train one with memorize/train.py and give it as --memorize"
            )
        return Path(base)

    def value(self, key: str) -> Any:
        """What the recipe and the overrides say of a dotted key; None where they are silent."""
        overrides = dict(zip(self.overrides[::2], self.overrides[1::2], strict=True))
        if f"--{key}" in overrides:
            return yaml.safe_load(overrides[f"--{key}"])
        value: Any = read_values(self.recipe)
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value


def levels_alone(plan: AblationPlan, levels: Sequence[str]) -> Recipe:
    """The keys that train at `levels` alone: the recipe's temperatures of these, and equal weights."""
    every, temperature = plan.value("loss.levels") or [], plan.value("loss.temperature")
    keys: Recipe = {"loss.levels": list(levels)}
    if plan.value("loss.level_weights") is not None:
        keys["loss.level_weights"] = None
    if isinstance(temperature, list):
        of_level = dict(zip(every, temperature, strict=False))
        keys["loss.temperature"] = [of_level.get(level, 1.0) for level in levels]
    return keys


DEFAULT_WIDE = "recurrence"
"""Where a recipe is silent."""
WIDE = (
    Variant(name="no-wide", label="without the wide part", keys={"wide": "none"}),
    Variant(name="recurrence-only", label="recurrence as the wide part", keys={"wide": "recurrence"}),
    Variant(name="full-wide", label="full wide part", keys={"wide": "full"}),
)


def variants(plan: AblationPlan) -> list[Variant]:
    """The full model, then those asked for. Raises UserError on an unknown name, and where the recipe is silent on what
    an ablation changes."""
    levels, orders, wide = plan.value("loss.levels"), plan.value("orders"), plan.value("wide") or DEFAULT_WIDE
    if not levels or orders is None:
        raise UserError(f"{plan.recipe} must say loss.levels and orders, for the ablations to change them")
    ablations = [
        Variant(name="no-stage-one", label="without stage one"),
        Variant(name="no-hierarchy", label="without hierarchy", keys=levels_alone(plan, ["all"])),
        Variant(name="chapter-only", label="chapter only", keys=levels_alone(plan, ["chapter"])),
        Variant(name="finest-only", label=f"{levels[-1]} only", keys=levels_alone(plan, levels[-1:])),
        Variant(name="no-eov", label="without EOV", keys={"loss.threshold_weight": 0}),
        Variant(name="plain-eov", label="EOV as trained", keys={"eov_offset": "none"}, trains=False),
        Variant(name="atlop-eov", label="EOV trained as in ATLOP", keys=ATLOP_EOV),
        Variant(name="no-partial-outputs", label="without partial outputs", keys={"orders": 0}),
        *(
            Variant(name=f"orders-{number}", label=f"{number} order{'s' * (number > 1)}", keys={"orders": number})
            for number in ORDERS
            if number != orders
        ),
        *(variant for variant in WIDE if variant.keys["wide"] != wide),
        Variant(name="decoding", label="decoding", keys={"decoding": "autoregressive"}, trains=False),
    ]
    if plan.value("loss.threshold_form") != "probability":
        ablations = [variant for variant in ablations if variant.name != "atlop-eov"]  # the full model is that
    names = [variant.name for variant in ablations]
    for name in plan.only:
        if name not in (FULL, *names):
            raise UserError(f"no ablation is called {name!r}; there are {', '.join(names)}")
    chosen = [ablations[names.index(name)] for name in plan.only or names if name != FULL]
    return [Variant(name=FULL, label=FULL), *chosen]


def ablation_steps(plan: AblationPlan) -> list[Step]:
    """The command of every run, in order. Raises UserError where the plan cannot be followed."""
    if len(plan.overrides) % 2 or not all(key.startswith("--") for key in plan.overrides[::2]):
        raise UserError(f"further arguments are pairs, --key value; got {' '.join(plan.overrides)}")
    if plan.seeds < 1:
        raise UserError("--seeds must be 1 or more")
    checkpoint = plan.checkpoint()
    return [_step(plan, variant, seed, checkpoint) for variant in variants(plan) for seed in range(plan.seeds)]


def _step(plan: AblationPlan, variant: Variant, seed: int, checkpoint: Path) -> Step:
    def run_name(name: str) -> str:
        return name if seed == 0 else f"{name}-seed-{seed}"

    result = plan.output / run_name(variant.name)
    where = ["--task", plan.task, "--output", result, "--name", variant.label]
    if not variant.trains:
        trained = plan.output / run_name(FULL)
        command = script_command("rank/ablations/rescore.py", "--run", trained, *where, *arguments_of(variant.keys))
        return Step(name=result.name, command=command, results=(result,))
    keys = {"model.base": str(checkpoint)} | variant.keys | ({"training.seed": seed} if plan.seeds > 1 else {})
    if variant.name == "no-stage-one":
        keys |= start_of(checkpoint)
    command = accelerate_command(
        "rank/train.py", "--config", plan.recipe, *plan.overrides, *where, *arguments_of(keys), engine=plan.engine
    )
    return Step(name=result.name, command=command, results=(result,))


def start_of(checkpoint: Path) -> Recipe:
    """The keys of the base model that stage one started from."""
    manifest = checkpoint.parent / "manifest.json"
    if not manifest.is_file():
        raise UserError(
            f"{manifest} is missing, so nobody knows what {checkpoint} was before stage one; "
            "leave no-stage-one out with --only"
        )
    model = json.loads(manifest.read_text(encoding="utf-8"))["config"]["model"]
    return {f"model.{key}": model[key] for key in START_KEYS}


def arguments_of(keys: Mapping[str, Any]) -> list[str]:
    """As rank/train.py reads them: values are YAML, of which JSON is a part."""
    return [
        part
        for key, value in keys.items()
        for part in (f"--{key}", value if isinstance(value, str) else json.dumps(value))
    ]
