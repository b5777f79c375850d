"""Does the ontology's order match the data's? Codes that are alike in what a model learnt and in what occurs together,
against the tree and the CCS groups (the paper's third open question)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from data.codes.ccs import load_ccs
from data.task import LEVELS, Task
from mera.commands.programs import Step
from mera.evaluation import bootstrap
from mera.language_models.code_tokens import token_ids
from mera.language_models.models import open_checkpoint
from mera.report.measures.estimates import Estimate, estimate
from mera.report.page.tables import Cell, Column, Row, Table
from mera.report.page.tables import cell as number_cell
from mera.runs.predictions import read_predictions
from mera.system.errors import UserError
from rank.baselines.history_matrices import task_matrices
from rank.studies.comparison import draw_dots
from rank.studies.evidence import as_numbers, claim_sentence
from rank.studies.finished_runs.distances import (
    agreement_by_code,
    cosine_similarities,
    group_auc_by_code,
    ppmi,
    tree_similarities,
)
from rank.studies.page import StudyReport
from rank.studies.plan import StudyPlan
from rank.wide.item_scores import item_item_weights

TREE, DATA, GROUPS = "tree", "data", "groups"
MEASURES = {
    TREE: "rank correlation with the tree",
    DATA: "rank correlation with co-occurrence",
    GROUPS: "AUC of the same CCS group",
}
LEAST_VISITS = 5
"""Training visits with a code: with fewer nothing is known of what it occurs with."""
ITEM_PENALTY = 100.0
LEAST_CORRELATION = 0.05
"""The smallest rank correlation, or AUC above a half, that would matter."""
COOCCURRENCE = "co-occurrence in visits"


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeSpaces:
    """K codes of a task and how alike they are."""

    codes: Sequence[str]
    similarities: Mapping[str, np.ndarray]
    """Space -> (K, K)."""
    tree: np.ndarray
    """(K, K) levels that two codes share."""
    groups: np.ndarray | None
    """(K,) int CCS or CCSR group, -1: none; None where the edition has none."""


def ontology_distance_steps(plan: StudyPlan, task: Task) -> list[Step]:
    """Nothing is trained. Raises UserError where neither a run nor a checkpoint is given, or the run is of another
    task."""
    if plan.run is None and plan.memorize is None:
        raise UserError("give a finished run of stage two as --run, a checkpoint of stage one as --memorize, or both")
    if plan.run is not None:
        manifest = read_predictions(plan.run).manifest
        if manifest["task"]["fingerprint"] != task.fingerprint:
            raise UserError(f"{plan.run} was trained on another task than {plan.task}; give the one it was trained on")
    if plan.memorize is not None:
        plan.checkpoint()
    return []


def training_visits(task: Task) -> np.ndarray:
    """(V, C) bool: the visits of the training patients, each once: of each patient the example with the longest
    history, its visits and its targets."""
    longest: dict[str, tuple[int, int]] = {}
    rows = task.splits["train"]
    for number, (patient, history) in enumerate(zip(rows["patient_id"], rows["history"], strict=True)):
        if len(history) >= longest.get(patient, (-1, 0))[0]:
            longest[patient] = (len(history), number)
    column, visits = task.column, []
    for row in rows.select([number for _, number in longest.values()]):
        visits += [[column[code] for code in visit["codes"] if code in column] for visit in row["history"]]
        visits.append([column[code] for code in row["targets"] if code in column])
    matrix = np.zeros((len(visits), len(task.codes)), dtype=bool)
    for number, codes in enumerate(visits):
        matrix[number, codes] = True
    return matrix


def code_spaces(plan: StudyPlan, task: Task) -> CodeSpaces:
    """Every space, on the codes that LEAST_VISITS training visits or more hold. Raises UserError where these are fewer
    than ten."""
    visits = training_visits(task)
    chosen = np.flatnonzero(visits.sum(axis=0) >= LEAST_VISITS)
    if len(chosen) < 10:
        raise UserError(f"{len(chosen)} codes stand in {LEAST_VISITS} training visits or more; the study needs 10")
    codes = [task.codes[column] for column in chosen]
    spaces = {
        "words of the definitions": cosine_similarities(
            TfidfVectorizer(sublinear_tf=True).fit_transform([task.definitions[i] for i in chosen]).toarray(), False
        ),
        COOCCURRENCE: cosine_similarities(ppmi(visits[:, chosen]), centre=False),
        "what follows (item-item)": cosine_similarities(_following(task)[chosen], centre=True),
    }
    for stage, checkpoint in (("stage one", plan.memorize), ("stage two", plan.run and plan.run / "checkpoint")):
        if checkpoint is not None:
            spaces |= {
                f"{stage}, {name}": cosine_similarities(rows, centre=True)
                for name, rows in embedding_rows(checkpoint, codes).items()
            }
    levels = [level for level in LEVELS if level != "all"]
    return CodeSpaces(
        codes=codes,
        similarities=spaces,
        tree=tree_similarities(task.group_ids(levels)[:, chosen]),
        groups=_ccs_groups(codes, task.info["ontology"]),
    )


def embedding_rows(checkpoint: Path, codes: Sequence[str]) -> dict[str, np.ndarray]:
    """(K, E) of each code's token: `input` and, where the model has one of its own, `output`."""
    model, tokenizer = open_checkpoint(checkpoint, "cpu")
    ids = token_ids(tokenizer, codes)
    layers = {"input": model.get_input_embeddings()}
    if not model.config.tie_word_embeddings:
        layers["output"] = model.get_output_embeddings()
    return {name: cast("Tensor", layer.weight)[ids].detach().float().numpy() for name, layer in layers.items()}


def _following(task: Task) -> np.ndarray:
    """(C, C) item-item weights from the codes of a history to those of the next visit."""
    matrices = task_matrices(task, "train", with_history=True)
    return item_item_weights(matrices.seen[:, : len(task.codes)], matrices.targets, ITEM_PENALTY)


def _ccs_groups(codes: Sequence[str], ontology: str) -> np.ndarray | None:
    if ontology not in ("icd9cm", "icd10cm"):
        return None
    grouping = load_ccs(ontology)
    names = [grouping.group_of(code) for code in codes]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names)) if name is not None}
    return np.array([-1 if name is None else numbers[name] for name in names])


def ontology_distance_report(plan: StudyPlan, task: Task) -> StudyReport:
    spaces = code_spaces(plan, task)
    number = len(spaces.codes)
    weights = bootstrap.patient_weights(list(spaces.codes), plan.resamples, seed=0)
    replicates = {
        (name, measure): bootstrap.row_mean(weights, values)
        for name, similarities in spaces.similarities.items()
        for measure, values in _by_code(name, similarities, spaces).items()
    }
    values = {key: _value(of_key) for key, of_key in replicates.items()}
    where = f"{number:,} codes"
    measures = [measure for measure in MEASURES if any(key[1] == measure for key in values)]
    names = list(spaces.similarities)
    return StudyReport(
        name="ontology-distance",
        title="Does the ontology's order match the data's?",
        question="Codes that stand near each other in the tree of the ICD: do they occur together, are they followed "
        "by the same codes, and does a model that learnt from patients put them near each other?",
        setting=[
            f"Task {plan.task.name}: the {number:,} of {len(task.codes):,} candidates that {LEAST_VISITS} training "
            "visits or more hold. For each code all others are ordered by how alike they are in a space. That order is "
            "compared with the one by the tree (levels shared: chapter, block, category, subcategory) and by "
            "co-occurrence (rank correlations, Spearman), and with the CCS groups of ICD-9 or CCSR groups of ICD-10 "
            "(AUC: a code of the same group before one of another). Means over codes, with 95% intervals over codes.",
            "Spaces, by cosine: token embeddings of the codes, less their mean; positive pointwise mutual information "
            "of codes of one visit; item-item weights to the codes of the next visit; TF-IDF of the words of the "
            "definitions, which says how much of the tree its words give away.",
        ],
        sentences=_claims(replicates, names, where),
        tables=[
            Table(
                name="spaces",
                caption="Mean over codes; by chance 0 and, AUC, 0.5",
                columns=[Column(key=key, label=MEASURES[key], format="hundredths") for key in measures],
                rows=[
                    Row(
                        label=name,
                        cells=[
                            number_cell(values[name, measure]) if (name, measure) in values else Cell()
                            for measure in measures
                        ],
                    )
                    for name in names
                ],
                corner="Space",
            )
        ],
        draw=lambda axes: draw_dots(
            axes,
            names,
            {
                MEASURES[measure]: [
                    values.get((name, measure), Estimate(value=None, low=None, high=None)) for name in names
                ]
                for measure in (TREE, DATA)
            },
            "rank correlation, mean over codes",
            scale=1.0,
            reference=0.0,
        ),
        caption=f"How far each space agrees with the tree and with co-occurrence ({where}, 95% intervals over codes).",
        numbers={
            "codes": number,
            "spaces": {
                name: {measure: as_numbers(values[name, measure]) for measure in measures if (name, measure) in values}
                for name in names
            },
        },
        commands=[],
    )


def _by_code(name: str, similarities: np.ndarray, spaces: CodeSpaces) -> dict[str, np.ndarray]:
    """(K,) by measure."""
    values = {TREE: agreement_by_code(similarities, spaces.tree)}
    if name != COOCCURRENCE:
        values[DATA] = agreement_by_code(similarities, spaces.similarities[COOCCURRENCE])
    if spaces.groups is not None:
        values[GROUPS] = group_auc_by_code(similarities, spaces.groups)
    return values


def _value(replicates: np.ndarray) -> Estimate:
    return estimate(replicates, bounds=(-1.0, 1.0))


def _claims(replicates: Mapping[tuple[str, str], np.ndarray], names: Sequence[str], where: str) -> list[str]:
    def sentence(claim: str, values: np.ndarray, what: str) -> str:
        return claim_sentence(claim, _value(values), LEAST_CORRELATION, what, where, unit="correlation")

    sentences = [
        sentence(
            "Codes near each other in the tree occur together",
            replicates[COOCCURRENCE, TREE],
            "the rank correlation of co-occurrence with the tree, mean over codes,",
        )
    ]
    if (COOCCURRENCE, GROUPS) in replicates:
        sentences.append(
            sentence(
                "Codes of one CCS group occur with the same codes",
                replicates[COOCCURRENCE, GROUPS] - 0.5,
                "the AUC of the same group by co-occurrence, above 0.5,",
            )
        )
    for name in names:
        if name.startswith("stage"):
            sentences.append(
                sentence(
                    f"The order of {name} rows is the tree's",
                    replicates[name, TREE],
                    "the rank correlation of embeddings with the tree, mean over codes,",
                )
            )
    for part in ("input", "output"):
        one, two = f"stage one, {part}", f"stage two, {part}"
        if one in names and two in names:
            sentences.append(
                sentence(
                    f"Training on patients moves {part} rows towards what occurs together",
                    replicates[two, DATA] - replicates[one, DATA],
                    "the rank correlation with co-occurrence after stage two minus after stage one",
                )
            )
            sentences.append(
                sentence(
                    f"Training on patients moves {part} rows away from the tree",
                    replicates[one, TREE] - replicates[two, TREE],
                    "the rank correlation with the tree after stage one minus after stage two",
                )
            )
    return sentences
