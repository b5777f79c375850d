"""Every code's figures and confusions against a loop, and which codes may be named."""

import csv
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from made_up_runs import NUM_CODES, change_run, make_rich_runs

from mera import metrics
from mera.report import write_report
from mera.report.comparison.compare import compare
from mera.report.measures.load import group_runs
from mera.report.measures.sets.code_counts import NO_CODE, WRONG_PER_EXAMPLE, code_counts
from mera.report.page.parts.groups.codes import EMBEDDED_MODELS, codes_csv, codes_json, confusion_parts
from mera.runs.predictions import read_predictions

LEVELS = ("chapter", "block", "category")  # without the root


@pytest.fixture(scope="module")
def comparisons(tmp_path_factory):
    """Of the same runs: codes of few patients left out, and named."""
    runs = make_rich_runs(tmp_path_factory.mktemp("runs"))
    (group,) = group_runs(runs)
    strict = compare(group, 10, 0)
    return strict, replace(strict, codes=replace(strict.codes, least_patients=0)), runs


def loop_counts(run):
    """predicted, hits, and {missed: {code in its place: times}}, pair by pair."""
    predicted, hits = np.zeros(run.codes.height, int), np.zeros(run.codes.height, int)
    instead = {}
    groups = {level: run.codes[level].to_list() for level in LEVELS if level in run.codes.columns}
    for row in range(len(run.scores)):
        order = [code for code in np.argsort(-run.scores[row], kind="stable") if run.predicted[row, code]]
        predicted[order] += 1
        hits[[code for code in order if run.targets[row, code]]] += 1
        wrong = [code for code in order if not run.targets[row, code]][:WRONG_PER_EXAMPLE]
        for code in np.flatnonzero(run.targets[row] & ~run.predicted[row]):
            near = [sum(names[code] == names[other] for names in groups.values()) for other in wrong]
            if not groups:
                near = [1] * len(wrong)
            if near and max(near):
                other = wrong[near.index(max(near))]
                instead.setdefault(code, {}).setdefault(other, 0)
                instead[code][other] += 1
    return predicted, hits, instead


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("with_levels", [True, False])
def test_counts_equal_a_loop(comparisons, seed, with_levels):
    generator = np.random.default_rng(seed)
    run = read_predictions(comparisons[2][1])
    scores = run.scores + generator.standard_normal(run.scores.shape).astype(np.float32)
    scores[5, 10:30] = scores[5, 10]
    scores[7, 3:] = -np.inf
    codes = run.codes if with_levels else run.codes.select("code", "train_count")
    run = replace(run, scores=scores, codes=codes, thresholds=run.thresholds + np.float32(seed) / 2 - 1)
    counts = code_counts(metrics.rank_targets(run.scores, run.targets), run.predicted, run.targets, run.codes)
    predicted, hits, instead = loop_counts(run)
    assert counts.predicted.tolist() == predicted.tolist()
    assert counts.hits.tolist() == hits.tolist()
    assert len(instead) > 20
    for code in range(run.codes.height):
        if code not in instead:
            assert (counts.confused[code], counts.confusions[code]) == (NO_CODE, 0)
            continue
        most = max(instead[code].values())
        assert counts.confusions[code] == most
        assert counts.confused[code] == min(other for other, times in instead[code].items() if times == most)


def test_a_near_code_is_found_behind_many_others_and_one_chapter_counts():
    """30 examples that predict the code of the same block after 29 wrong ones of other blocks."""
    scores = np.tile(np.linspace(10, 1, 60), (30, 1)).astype(np.float32)
    scores[:, 0], scores[:, 1] = -5.0, scores[:, 30] + 0.01
    targets = np.zeros(scores.shape, dtype=bool)
    targets[:, 0] = True
    blocks = ["B0", "B0", *["B1"] * 58]
    codes = pl.DataFrame({"code": [str(n) for n in range(60)], "chapter": ["x"] * 60, "block": blocks})
    ranking, predicted = metrics.rank_targets(scores, targets), scores > 2
    counts = code_counts(ranking, predicted, targets, codes)
    assert (counts.confused[0], counts.confusions[0]) == (1, 30)
    scores[:, 1] = -4.0
    counts = code_counts(metrics.rank_targets(scores, targets), scores > 2, targets, codes)
    assert (counts.confused[0], counts.confusions[0]) == (2, 30), "they share the chapter, the only one"


def test_a_run_without_a_threshold_has_no_counts(comparisons):
    run = read_predictions(comparisons[2][4])
    ranking = metrics.rank_targets(run.scores, run.targets)
    assert code_counts(ranking, None, run.targets, run.codes) is None
    assert "history" not in comparisons[0].codes.runs


def test_a_run_that_predicts_nothing_confuses_nothing(comparisons):
    run = read_predictions(comparisons[2][1])
    nothing = np.zeros_like(run.targets)
    counts = code_counts(metrics.rank_targets(run.scores, run.targets), nothing, run.targets, run.codes)
    assert not counts.predicted.any()
    assert (counts.confused == NO_CODE).all()


def test_the_file_holds_each_codes_recall_precision_and_f1(comparisons):
    run = read_predictions(comparisons[2][1])
    lines = list(csv.DictReader(codes_csv(comparisons[1]).splitlines()))
    assert len(lines) == NUM_CODES
    f1 = metrics.f1_by_code(run.predicted, run.targets)
    for place, line in enumerate(lines):
        true, predicted = run.targets[:, place], run.predicted[:, place]
        assert (line["code"], line["definition"]) == (run.codes["code"][place], f"condition {place}")
        assert int(line["test_examples"]) == true.sum()
        assert int(line["train_examples"]) == run.codes["train_count"][place]
        for figure, top, bottom in (("recall", true & predicted, true), ("precision", true & predicted, predicted)):
            text = line[f"rank-tiny_{figure}"]
            assert (text == "") == (not bottom.any())
            assert not text or float(text) == pytest.approx(top.sum() / bottom.sum())
        assert line["rank-tiny_f1"] == "" if np.isnan(f1[place]) else float(line["rank-tiny_f1"]) == f1[place]
        assert bool(line["rank-tiny_confused_with"]) == bool(line["rank-tiny_confusions"])


def test_codes_of_few_patients_are_counted_and_not_named(comparisons):
    strict, _, runs = comparisons
    run = read_predictions(runs[1])
    patients = [
        len({run.patient_ids[row] for row in np.flatnonzero(run.targets[:, code])}) for code in range(NUM_CODES)
    ]
    train = run.codes["train_count"].to_list()
    named = [max(train[code], patients[code]) >= 10 for code in range(NUM_CODES)]
    few = [0 < patients[code] < 10 for code in range(NUM_CODES)]
    assert 0 < sum(named) < NUM_CODES
    assert any(a and b for a, b in zip(named, few, strict=True))
    *lines, rest = csv.DictReader(codes_csv(strict).splitlines())
    assert [line["code"] for line in lines] == [
        code for code, is_named in zip(run.codes["code"], named, strict=True) if is_named
    ]
    for line in lines:
        place = run.codes["code"].to_list().index(line["code"])
        assert (line["test_examples"] == "") == few[place]
        assert (line["rank-tiny_predicted"] == "") == few[place]
    unnamed = ~np.array(named)
    assert rest["definition"] == f"{unnamed.sum()} codes of fewer than 10 patients"
    assert int(rest["test_examples"]) == run.targets[:, unnamed].sum()
    assert int(rest["rank-tiny_predicted"]) == run.predicted[:, unnamed].sum()
    for text in (codes_csv(strict), codes_json(strict)):
        assert not any(
            f'"{code}"' in text or f"\n{code}," in text
            for code, is_named in zip(run.codes["code"], named, strict=True)
            if not is_named
        )


@pytest.mark.parametrize("which", [0, 1])
def test_the_pages_structure_says_the_same_as_the_file(comparisons, which):
    comparison = comparisons[which]
    content = json.loads(codes_json(comparison))
    lines = [line for line in csv.DictReader(codes_csv(comparison).splitlines()) if line["code"]]
    assert content["codes"] == [line["code"] for line in lines]
    assert content["unnamed"] == NUM_CODES - len(lines)
    model = next(model for model in content["models"] if model["run"] == "rank-tiny")
    for place, line in enumerate(lines):
        assert content["test"][place] == (int(line["test_examples"]) if line["test_examples"] else -1)
        assert model["predicted"][place] == int(line["rank-tiny_predicted"] or 0)
        if line["rank-tiny_recall"]:
            assert model["hits"][place] / content["test"][place] == pytest.approx(float(line["rank-tiny_recall"]))
        instead, times = model["confused"].get(str(place), [None, None])
        assert line["rank-tiny_confused_with"] == ("" if instead is None else content["codes"][instead])
        assert line["rank-tiny_confusions"] == ("" if times is None else str(times))


def test_ten_thousand_codes_and_ten_models_leave_room_on_a_page(comparisons):
    """Definitions of 70 characters, every second code with a confusion."""
    comparison = comparisons[1]
    number = 10_000
    generator = np.random.default_rng(0)
    test = generator.poisson(1.0, number)
    counts = replace(
        comparison.codes.runs["rank-tiny"],
        predicted=generator.poisson(1.0, number),
        hits=np.minimum(test, generator.poisson(0.5, number)),
        confused=np.where(np.arange(number) % 2, NO_CODE, generator.integers(0, number, number)),
        confusions=generator.poisson(3.0, number),
    )
    table = replace(
        comparison.codes,
        codes=tuple(f"{code:06d}" for code in range(number)),
        definitions=("x" * 70,) * number,
        train_examples=generator.poisson(8.0, number),
        test_examples=test,
        test_patients=test,
        runs={f"run-{place}": counts for place in range(12)},
    )
    runs = tuple(replace(comparison.runs[1], name=f"run-{place}", label=f"</script> {place}") for place in range(12))
    text = codes_json(replace(comparison, codes=table, runs=runs))
    assert len(text) < 2_200_000
    assert "<" not in text
    content = json.loads(text)
    assert (len(content["models"]), content["models_left_out"]) == (EMBEDDED_MODELS, 2)
    assert content["models"][0]["label"] == "</script> 0"


def test_confusions_in_words(comparisons):
    (part,) = confusion_parts(comparisons[1])
    best = next(run for run in comparisons[1].runs if not run.is_oracle)
    assert part.title == f"Codes that {best.label} confuses"
    assert "patients have them" not in part.text
    (table,) = part.tables
    times = [row.cells[3].value for row in table.rows]
    assert times == sorted(times, reverse=True)
    assert table.rows[0].cells[0].value.startswith("condition")
    assert all(row.cells[3].value <= row.cells[4].value <= row.cells[5].value for row in table.rows)
    (part,) = confusion_parts(comparisons[0])
    left_out = (~comparisons[0].codes.is_counted).sum()
    assert f"{left_out} of the 60 candidates are left out here: fewer than 10 patients have them" in part.text


def test_nothing_to_confuse_no_part(comparisons):
    assert confusion_parts(replace(comparisons[1], codes=replace(comparisons[1].codes, runs={}))) == []


def test_codes_outside_the_candidates_are_not_in_the_table(comparisons, tmp_path):
    run = read_predictions(comparisons[2][1])
    scores = run.scores.copy()
    scores[:, -5:] = -np.inf
    path = change_run(comparisons[2][1], tmp_path / "outside", scores=scores, num_outside=5)
    page = write_report([path], tmp_path / "report", bootstrap_samples=5, rare_codes=True)
    lines = pl.read_csv(page.parent / "tables" / "codes.csv", infer_schema=False)
    assert lines["code"].to_list() == run.codes["code"].to_list()[:-5]
