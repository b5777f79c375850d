"""A prepared task of a few patients with real ICD-10-CM codes, made in a second: for tests of every stage.

    from tiny_task import make_tiny_task        (pytest puts this folder on sys.path)
    task = make_tiny_task(tmp_path / "task", kind="coding")

There is signal in it: chronic codes return in every later visit, and a note says each of its codes in words.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from data.task import Task, save_task
from data.task_folder.features import task_features

# code | definition | synonyms, separated by ";" | category | block | chapter
CODE_LINES = """\
I10|Essential (primary) hypertension|high blood pressure|I10|I10-I1A|9
I50.9|Heart failure, unspecified|congestive heart failure;cardiac failure|I50|I30-I5A|9
I50.22|Chronic systolic (congestive) heart failure|systolic heart failure|I50|I30-I5A|9
I48.91|Unspecified atrial fibrillation|AF|I48|I30-I5A|9
I25.10|Atherosclerotic heart disease of native coronary artery without angina pectoris|CAD|I25|I20-I25|9
I21.4|Non-ST elevation (NSTEMI) myocardial infarction|NSTEMI;non-Q wave infarction|I21|I20-I25|9
I73.9|Peripheral vascular disease, unspecified|intermittent claudication|I73|I70-I79|9
E11.9|Type 2 diabetes mellitus without complications|T2DM|E11|E08-E13|4
E11.21|Type 2 diabetes mellitus with diabetic nephropathy|diabetic nephropathy|E11|E08-E13|4
E11.22|Type 2 diabetes mellitus with diabetic chronic kidney disease||E11|E08-E13|4
E10.9|Type 1 diabetes mellitus without complications|juvenile diabetes|E10|E08-E13|4
E78.5|Hyperlipidemia, unspecified|high cholesterol|E78|E70-E88|4
E03.9|Hypothyroidism, unspecified|underactive thyroid;myxedema|E03|E00-E07|4
E66.9|Obesity, unspecified|obese habitus|E66|E65-E68|4
N18.30|Chronic kidney disease, stage 3 unspecified|CKD stage 3|N18|N17-N19|14
N18.6|End stage renal disease|ESRD|N18|N17-N19|14
N17.9|Acute kidney failure, unspecified|acute kidney injury;AKI|N17|N17-N19|14
N39.0|Urinary tract infection, site not specified|UTI|N39|N30-N39|14
Z99.2|Dependence on renal dialysis|hemodialysis status|Z99|Z77-Z99|21
J44.9|Chronic obstructive pulmonary disease, unspecified|COPD|J44|J40-J4A|10
J44.1|Chronic obstructive pulmonary disease with (acute) exacerbation|COPD flare|J44|J40-J4A|10
J18.9|Pneumonia, unspecified organism|lung infection|J18|J09-J18|10
J96.01|Acute respiratory failure with hypoxia|hypoxic respiratory failure|J96|J96-J99|10
K21.9|Gastro-esophageal reflux disease without esophagitis|GERD;acid reflux|K21|K20-K31|11
K92.2|Gastrointestinal hemorrhage, unspecified|GI bleed|K92|K90-K95|11
F32.A|Depression, unspecified|depressive disorder|F32|F30-F39|5
F10.20|Alcohol dependence, uncomplicated|alcohol use disorder|F10|F10-F19|5
D64.9|Anemia, unspecified|low hemoglobin|D64|D60-D64|3
A41.9|Sepsis, unspecified organism|septicemia|A41|A30-A49|1
R65.20|Severe sepsis without septic shock||R65|R50-R69|18
"""

CHAPTER_NAMES = {
    "1": "Certain infectious and parasitic diseases",
    "3": "Diseases of the blood and blood-forming organs and certain disorders involving the immune mechanism",
    "4": "Endocrine, nutritional and metabolic diseases",
    "5": "Mental, behavioral and neurodevelopmental disorders",
    "9": "Diseases of the circulatory system",
    "10": "Diseases of the respiratory system",
    "11": "Diseases of the digestive system",
    "14": "Diseases of the genitourinary system",
    "18": "Symptoms, signs and abnormal clinical and laboratory findings, not elsewhere classified",
    "21": "Factors influencing health status and contact with health services",
}
GROUP_NAMES = {
    "I30-I5A": "Other forms of heart disease",
    "I20-I25": "Ischemic heart diseases",
    "E08-E13": "Diabetes mellitus",
    "N17-N19": "Acute kidney failure and chronic kidney disease",
    "J40-J4A": "Chronic lower respiratory diseases",
    "I50": "Heart failure",
    "E11": "Type 2 diabetes mellitus",
    "N18": "Chronic kidney disease (CKD)",
    "J44": "Other chronic obstructive pulmonary disease",
    "E11.2": "Type 2 diabetes mellitus with kidney complications",
}
ACUTE = ("I21.4", "N17.9", "N39.0", "J44.1", "J18.9", "J96.01", "K92.2", "A41.9", "R65.20")
NEXT_STEP = {"E11.9": "E11.21", "E11.21": "E11.22", "N18.30": "N18.6", "N18.6": "Z99.2", "I25.10": "I50.9"}
FILLERS = ("Seen in clinic today.", "Denies fever or chills.", "Takes all medication as prescribed.", "Lives alone.")


def make_tiny_task(
    path: str | Path,
    kind: Literal["diagnosis", "coding"] = "diagnosis",
    patients: int = 60,
    seed: int = 0,
    outside: Sequence[str] = (),
    terms: pl.DataFrame | None = None,
    rules: pl.DataFrame | None = None,
    events: bool = False,
    marked: bool = True,
) -> Task:
    """Write a task of `patients` patients at `path` (which must not exist) and return it.

    `diagnosis`: a history of 1-4 visits, no text. `coding`: a note of a few sentences with the evidence span of each
    code, and a short history. One example per patient; 70% train, 15% validation, 15% test. `outside`: codes that are
    no candidates; they stay in the rows of every split, as with a list of candidates that lacks them. `terms`, `rules`:
    of a code book, which task.json then names, and of the edition's notes. `events`: each visit of a history has the
    drugs that tell the acute codes of the next visit, and one that tells nothing. `marked`: notes have evidence.
    """
    rng = random.Random(seed)
    codes = _code_table()
    rows = [_example(number, kind, codes, rng) for number in range(patients)]
    rows = rows if marked else [{**row, "evidence": []} for row in rows]
    if events:
        for row in rows:
            following = [*(visit["codes"] for visit in row["history"][1:]), row["targets"]]
            for visit, codes_after in zip(row["history"], following, strict=True):
                visit["events"] = sorted({*(f"drug:for-{code}" for code in codes_after if code in ACUTE), "drug:water"})
    held_out = max(1, round(patients * 0.15))
    splits = {
        "train": rows[: patients - 2 * held_out],
        "validation": rows[patients - 2 * held_out : patients - held_out],
        "test": rows[patients - held_out :],
    }
    info = {
        "name": f"tiny-{kind}",
        "kind": kind,
        "source": "made by tests/helpers/tiny_task.py",
        "ontology": "icd10cm",
        "edition": "2026",
        "protocol": {"name": "random", "seed": seed},
        "dropped": {},
        "inputs": {},
    }
    is_outside = pl.col("code").is_in(list(outside))
    groups = _group_table(codes)
    if terms is not None:
        info["book"] = {"sources": ["a book of a test"], "sha256": "00"}
    candidates, others = codes.filter(~is_outside), codes.filter(is_outside)
    names = None
    if events:
        info["events"] = {"kinds": ["drugs"], "min_patients": 1}
        definition = dict(codes.select("code", "definition").iter_rows())
        remedies = {"drug:water": "water"} | {f"drug:for-{code}": f"remedy of {definition[code]}" for code in ACUTE}
        names = pl.DataFrame({"event": list(remedies), "kind": "drug", "name": list(remedies.values())})
    return save_task(
        path,
        splits,
        candidates,
        groups,
        info,
        features=task_features(events=events),
        other_codes=others,
        terms=terms,
        rules=rules,
        event_names=names,
    )


def _code_table() -> pl.DataFrame:
    rows = []
    for line in CODE_LINES.splitlines():
        code, definition, synonyms, category, block, chapter = line.split("|")
        rows.append(
            {
                "code": code,
                "definition": definition,
                "synonyms": [synonym for synonym in synonyms.split(";") if synonym],
                "all": "all",
                "chapter": chapter,
                "block": block,
                "category": category,
                "subcategory": code[:5],
            }
        )
    return pl.DataFrame(rows, schema_overrides={"synonyms": pl.List(pl.String)})


def _group_table(codes: pl.DataFrame) -> pl.DataFrame:
    definition = dict(codes.select("code", "definition").iter_rows())
    names = {"all": "All diagnoses"} | CHAPTER_NAMES | GROUP_NAMES
    rows = []
    for level in ("all", "chapter", "block", "category", "subcategory"):
        for group in codes[level].unique(maintain_order=True):
            member = codes.filter(pl.col(level) == group)["code"][0]
            rows.append({"level": level, "group": group, "name": names.get(group, definition[member])})
    return pl.DataFrame(rows)


def _example(number: int, kind: str, codes: pl.DataFrame, rng: random.Random) -> dict[str, Any]:
    all_codes = codes["code"].to_list()
    chronic = set(rng.sample([code for code in all_codes if code not in ACUTE], k=rng.randint(2, 5)))
    visits = []
    for _ in range(rng.randint(2, 5)):
        visits.append(sorted(chronic | set(rng.sample(ACUTE, k=rng.randint(0, 2)))))
        chronic |= {NEXT_STEP[code] for code in sorted(chronic) if code in NEXT_STEP and rng.random() < 0.3}
    targets = rng.sample(visits[-1], k=len(visits[-1]))
    text, evidence = _note(targets, codes, rng) if kind == "coding" else (None, [])
    return {
        "example_id": f"example{number:04d}",  # no hexadecimal digits: a checksum cannot hold an id by chance
        "patient_id": f"p{number:04d}",
        "age": rng.randint(35, 90),
        "sex": rng.choice(["F", "M"]),
        "history": [
            {"codes": visit, "days_before": 90 * (len(visits) - 1 - index)} for index, visit in enumerate(visits[:-1])
        ],
        "text": text,
        "targets": targets,
        "evidence": evidence,
    }


def _note(targets: list[str], codes: pl.DataFrame, rng: random.Random) -> tuple[str, list[dict[str, Any]]]:
    rows = {row["code"]: row for row in codes.iter_rows(named=True)}
    text, evidence = "Assessment.", []
    for code in targets:
        words = rng.choice([rows[code]["definition"], *rows[code]["synonyms"]])
        if rng.random() < 0.5:
            text += f" {rng.choice(FILLERS)}"
        text += " Patient has "
        evidence.append({"code": code, "start": len(text), "end": len(text) + len(words)})
        text += f"{words}."
    return text, evidence
