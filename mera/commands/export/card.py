"""The model card of an exported model, as the hub's README.md has it: front matter, what it is, figures, limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from mera.language_models.licences import UNKNOWN_LICENCE, base_licence, is_hub_name
from mera.system.errors import UserError

LIBRARIES = {"rank": "transformers", "bi_encoder": "sentence-transformers"}
"""Of the others it is the toolkit itself."""
TAGS = {"rank": "mera-stage-two", "bi_encoder": "mera-bi-encoder"}
NAMES = {"recall@10": "Recall@10", "recall@20": "Recall@20", "map": "MAP", "micro_f1": "Micro F1"}
READS = {"diagnosis": "a patient's visits so far", "coding": "a clinical note"}
TOTALS = {
    "wide.safetensors": "how often each code was a target in training, and which codes follow which (weights of a "
    "linear model)",
    "recurrence.npy": "four numbers for all codes seen before",
    "candidates.parquet": "how often each code was a target in training",
    "fitted/": "what a model without a language model was fitted to: weights, counts, trees",
}
"""By how the name ends."""
RECORDS = "`recipe.yaml` is what it was trained with, `mera.json` the versions, the figures and the calibration."
FILES = f"{RECORDS} Both, and every other file here, hold no row, id, note or prediction of a patient."
FILES_WITH_WORDS = f"{RECORDS} Neither holds a row, id, note or prediction of a patient."


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    kind: str
    """`rank`, `bi_encoder`, `baseline` or `fusion`"""
    model: str
    """its name in tables"""
    base: str | None
    base_shown: str
    """the base model without the path that leads to it here"""
    data: str
    """the data set's name"""
    edition: str
    task_kind: str
    num_codes: int | None
    num_test_patients: int | None
    figures: Mapping[str, float]
    """fractions of the test split"""
    intervals: Mapping[str, tuple[float, float]]
    """their 95% intervals over patients"""
    totals: Sequence[str]
    """files of the export that hold totals over training patients"""
    words_of_notes: Sequence[str]
    """files of the export that hold words of training notes, or vectors of such"""
    parts: Sequence[str]
    """names of the models that are fused in it; empty of one model"""
    reads_past_notes: bool
    num_events: int
    """procedures, drugs and labs that have a token"""
    verifies: bool
    """stage two that reads the candidates of another run"""
    is_encoder_decoder: bool
    """stage two whose model is a T5 or its like"""


def stage_one_card(path: Path) -> str:
    """The card that stage one wrote beside its weights, with a line on the export's other files."""
    if not path.is_file():
        raise UserError(f"{path} is missing, the model card that stage one writes; train it again")
    return f"{path.read_text(encoding='utf-8').rstrip()}\n\n{FILES}\n"


def written_card(card: Card) -> str:
    """README.md of stage two or a bi-encoder."""
    front = yaml.safe_dump(_front(card), sort_keys=False, allow_unicode=True).strip()
    licence = base_licence(card.base) or "there is no base model; the weights were random"
    figures = [
        f"| {NAMES[name]} | {100 * value:.1f} ({' to '.join(f'{100 * end:.1f}' for end in card.intervals[name])}) |"
        for name, value in card.figures.items()
    ]
    totals = [f"- `{name}`: {_what_it_counts(name)}" for name in card.totals]
    how = _how_to_use(card)
    bases = [f"- Base model: {card.base_shown}", f"- Licence of the base model: {licence}"]
    of_parts = ["- Base models and their licences: in the README.md of each folder in `parts`"]
    words = [
        "**Words of notes.** These files hold words of the notes that it was trained on, some of them vectors of whole",
        "notes. They belong where those notes may be read:",
        "",
        *(f"- `{name}`" for name in card.words_of_notes),
        "",
    ]
    return "\n".join(
        [
            "---",
            front,
            "---",
            "",
            f"# {_title(card)}",
            "",
            _description(card),
            "",
            *(of_parts if card.parts else bases if card.kind in TAGS else []),
            f"- Codes: {card.num_codes:,} of {card.edition}",
            f"- Reads: {_what_it_reads(card)}",
            f"- Trained on: the data set {card.data}",
            "",
            "## Use",
            "",
            "```bash",
            *how,
            "```",
            "",
            f"## Figures on the test split of {card.data}",
            "",
            f"{card.num_test_patients:,} patients; percent, with 95% intervals over patients.",
            "",
            "| measure | |",
            "|---|---|",
            *figures,
            "",
            "## Limits",
            "",
            *(words if card.words_of_notes else []),
            "It ranks codes as the data it was trained on have them, and is no medical device. Probabilities were",
            "calibrated on patients of the same data set; elsewhere they have to be calibrated again. Weights are not",
            "anonymous: a model that was fine-tuned on patients' data may hold traces of them, so who may have the",
            f"model is the data's owner to decide. Every {_named_in_it(card)} is named in it.",
            "",
            "Files with totals over the training patients:",
            "",
            *(totals or ["- none"]),
            "",
            FILES_WITH_WORDS if card.words_of_notes else FILES,
            "",
        ]
    )


def _what_it_counts(name: str) -> str:
    return next(text for ending, text in TOTALS.items() if name.endswith(ending))


def _what_it_reads(card: Card) -> str:
    parts = [READS.get(card.task_kind, card.task_kind)]
    if card.reads_past_notes:
        parts.append("with notes")
    if card.num_events:
        parts.append(f"with {card.num_events:,} procedures, drugs and labs")
    return ", ".join(parts)


def _named_in_it(card: Card) -> str:
    return "candidate code" + (", procedure, drug and lab, as the data call it," if card.num_events else "")


def _front(card: Card) -> dict[str, object]:
    licence = base_licence(card.base)
    metrics = [{"type": name, "name": NAMES[name], "value": value} for name, value in card.figures.items()]
    generates = "text2text-generation" if card.is_encoder_decoder else "text-generation"
    ranks = generates if card.kind == "rank" else "text-ranking"
    pipelines = {"rank": generates, "bi_encoder": "sentence-similarity"}
    result = {
        "task": {"type": ranks, "name": "ranking of ICD codes"},
        "dataset": {"name": card.data, "type": card.data},
        "metrics": metrics,
    }
    return {
        "library_name": LIBRARIES.get(card.kind, "mera"),
        "pipeline_tag": pipelines.get(card.kind, "text-ranking"),
        "tags": ["icd", "medical-coding", TAGS.get(card.kind, f"mera-{card.kind}")],
        **({"license": licence.lower()} if licence is not None and licence != UNKNOWN_LICENCE else {}),
        **({"base_model": card.base} if is_hub_name(card.base) else {}),
        "model-index": [{"name": card.model, "results": [result]}],
    }


def _title(card: Card) -> str:
    if card.kind in TAGS:
        called = "A bi-encoder" if card.kind == "bi_encoder" else "A language model"
    else:
        called = f"{len(card.parts)} fused models" if card.parts else f"A model ({card.model})"
    return f"{called} that rank{'' if card.parts else 's'} {card.num_codes:,} ICD codes"


def _description(card: Card) -> str:
    if card.kind == "bi_encoder":
        return "Texts and codes in one space, after the “Matryoshka ICD” recipe of the MERA toolkit."
    if card.parts:
        return f"Fused by `mera fuse` of the MERA toolkit, each in its folder in `parts`: {', '.join(card.parts)}."
    if card.kind != "rank":
        return (
            "One of the MERA toolkit's models without a language model (`mera baselines`, `mera retrieval-baselines`)."
        )
    return (
        "Stage two of a MERA toolkit run (method: Ma et al., *Memorize and Rank*, arXiv 2501.17326): one forward pass "
        "ranks all codes, and the score of the end of the visit is the threshold."
    )


def _how_to_use(card: Card) -> list[str]:
    if card.verifies:
        return ["mera predict FOLDER --task TASK --candidates RUN --output ranked.csv"]
    if card.task_kind == "coding":
        return ['mera predict FOLDER --text "..."']
    return ['mera predict FOLDER --history "CODE,CODE;CODE" --age 67 --sex F']
