"""What the manifests say of the task that was scored."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mera.report.json_form import AS_RECORDED, OMITTED, JsonObject, without_nan
from mera.report.measures.candidates import ALL


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitCounts:
    """What a split holds; None where the task does not say."""

    examples: int | None
    patients: int | None
    targets: int | None
    outside: int | None
    """True codes that are no candidates."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRecord:
    """A manifest's `task`: the parts that the report reads, and the whole."""

    name: str | None
    kind: str | None
    fingerprint: str
    split: str
    """The split that was scored."""
    protocol: str | None
    source: str | None
    edition: str | None
    candidates_rule: str
    candidates_file: str | None
    counts: Mapping[str, SplitCounts]
    """By split; empty in older manifests."""
    dropped: Mapping[str, int]
    """Reason -> rows of the source that were left out."""
    changed: Mapping[str, int] = field(metadata=OMITTED)
    """What was read otherwise than it is written -> how many times."""
    unknown_codes: Mapping[str, int]
    """`distinct` codes that the ontology does not know, in so many `rows`."""
    record: JsonObject = field(metadata=AS_RECORDED)

    @classmethod
    def of(cls, record: JsonObject) -> "TaskRecord":
        record = without_nan(record)
        rule = record.get("candidates_rule") or {}
        outside = record.get("outside_candidates") or {}
        return cls(
            name=record.get("name"),
            kind=record.get("kind"),
            fingerprint=record["fingerprint"],
            split=record["split"],
            protocol=record.get("protocol"),
            source=record.get("source"),
            edition=record.get("edition"),
            candidates_rule=str(rule.get("name", ALL)),
            candidates_file=rule.get("file"),
            counts={
                split: SplitCounts(
                    examples=counts.get("examples"),
                    patients=counts.get("patients"),
                    targets=counts.get("targets"),
                    outside=(outside.get(split) or {}).get("targets"),
                )
                for split, counts in (record.get("counts") or {}).items()
            },
            dropped=_whole_numbers(record.get("dropped")),
            changed=_whole_numbers(record.get("changed")),
            unknown_codes=_whole_numbers(record.get("unknown_code_counts")),
            record=record,
        )


def _whole_numbers(counts: object) -> dict[str, int]:
    """Those of a mapping; what else a task record may hold has its place in the record itself."""
    if not isinstance(counts, dict):
        return {}
    return {key: count for key, count in counts.items() if isinstance(count, int)}
