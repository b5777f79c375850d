"""What a run's manifest says of it: what it is called, how it was trained, what it cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mera.report.json_form import AS_RECORDED, OMITTED, JsonObject, called, without_nan

ORACLE, BASELINE = "oracle", "baseline"
"""Kinds of runs that are no trained models: a bound, and what a model has to beat."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedThreshold:
    """Micro F1 on validation with the threshold that is used, and beside it; None where it was not measured."""

    eov_share: float | None
    """How much of EOV's score is in the threshold."""
    validation_micro_f1: float | None
    validation_micro_f1_eov: float | None
    """With EOV's score alone."""
    validation_micro_f1_fixed: float | None
    """With the best of all fixed thresholds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedPart:
    """A run in a fusion; figures are None where they were not measured."""

    name: str = field(metadata=called("run"))
    model: str
    weight: float | None
    share: float | None
    """Its covariance with the fused score, as a share of that score's variance."""
    validation_map: float | None
    validation_micro_f1: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedRuns:
    """What a fusion is made of; its own figures on validation are cross-fitted."""

    parts: tuple[FusedPart, ...]
    offsets: Mapping[str, float]
    """By frequency group of the codes."""
    offsets_share: float | None
    validation_map: float | None
    validation_micro_f1: float | None
    validation_rows: int | None
    folds: int | None
    trees: int | None
    """On top of the sum; None: none."""
    training_rows: int | None
    """That the trees, and the sum below them, were fitted on besides those of validation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    gpus: tuple[str, ...]
    cpus: int | None
    machine: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a run took; None where it was not recorded."""

    seconds: float | None
    host_bytes: int | None
    """Most memory of one process."""
    gpu_bytes: int | None
    tokens: int | None
    """Trained on, padding not counted."""
    energy_joules: float | None
    hardware: Hardware
    started_at: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunManifest:
    """A manifest: the parts that the report reads, and the whole."""

    name: str
    model: str
    """What tables call the run; its own name where the manifest has no other."""
    kind: str | None
    config: JsonObject
    threshold: FittedThreshold | None
    fusion: FusedRuns | None
    cost: Cost
    record: JsonObject = field(metadata=AS_RECORDED)
    seeds: int = field(default=1, metadata=OMITTED)
    """Runs that were put together, of which this is the first."""
    refitted: bool = field(default=False, metadata=OMITTED)
    """What scored test was fitted on validation too."""

    @classmethod
    def of(cls, manifest: JsonObject) -> "RunManifest":
        record = without_nan(manifest)
        return cls(
            name=record["run"],
            model=str(record.get("model", record["run"])),
            kind=record.get("kind"),
            config=record.get("config") or {},
            threshold=_threshold(record.get("threshold") or {}),
            fusion=_fusion(record.get("fusion") or {}),
            cost=_cost(record),
            record=record,
            refitted=bool(record.get("refitted")),
        )


def _threshold(record: JsonObject) -> FittedThreshold | None:
    if not record:
        return None
    return FittedThreshold(
        eov_share=record.get("eov_share"),
        validation_micro_f1=record.get("validation_micro_f1"),
        validation_micro_f1_eov=record.get("validation_micro_f1_eov"),
        validation_micro_f1_fixed=record.get("validation_micro_f1_fixed"),
    )


def _fusion(record: JsonObject) -> FusedRuns | None:
    if not record:
        return None
    figures, trees = record.get("validation") or {}, record.get("trees") or {}
    return FusedRuns(
        parts=tuple(_fused_part(part) for part in record.get("parts") or ()),
        offsets=record.get("offsets") or {},
        offsets_share=record.get("offsets_share"),
        validation_map=figures.get("mean_average_precision"),
        validation_micro_f1=figures.get("micro_f1"),
        validation_rows=record.get("validation_rows"),
        folds=record.get("folds"),
        trees=trees.get("number"),
        training_rows=trees.get("training_rows"),
    )


def _fused_part(record: JsonObject) -> FusedPart:
    figures = record.get("validation") or {}
    return FusedPart(
        name=str(record.get("run")),
        model=str(record.get("model")),
        weight=record.get("weight"),
        share=record.get("share"),
        validation_map=figures.get("mean_average_precision"),
        validation_micro_f1=figures.get("micro_f1"),
    )


def _cost(manifest: JsonObject) -> Cost:
    memory, hardware = manifest.get("peak_memory") or {}, manifest.get("hardware") or {}
    return Cost(
        seconds=manifest.get("seconds"),
        host_bytes=memory.get("host_bytes"),
        gpu_bytes=memory.get("gpu_bytes"),
        tokens=manifest.get("tokens"),
        energy_joules=manifest.get("energy_joules"),
        hardware=Hardware(
            gpus=tuple(hardware.get("gpus") or ()), cpus=hardware.get("cpus"), machine=hardware.get("machine")
        ),
        started_at=manifest.get("started_at"),
    )
