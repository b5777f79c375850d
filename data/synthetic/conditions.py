"""The synthetic cohort's medicine: which conditions exist, how they start, progress and cause others.

The numbers are invented to be plausible and to give a task with structure; they are no epidemiology. The codes are real
ICD-10-CM codes. All probabilities are per visit. Probabilities of independent causes combine as a noisy-or: the effect
is absent only where each cause present fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Ages = tuple[int, int]
"""A risk is 0 at the first age and full at the second, linear between, flat beyond; (60, 20) falls with age."""

ANY_AGE: Ages = (-1, 0)


@dataclass(frozen=True, slots=True)
class Chronic:
    """A condition that never goes away: stages in order, of which the patient is in one. A later stage's codes replace
    the earlier ones. Every code of a stage is documented at the visit where the stage begins, and at each later visit
    with probability `documented`.
    """

    name: str
    stages: tuple[tuple[str, ...], ...]
    onset: float
    """Chance of stage 1 at the full-risk age, without any cause."""
    ages: Ages = ANY_AGE
    causes: Mapping[str, float] = field(default_factory=dict)
    """Factor -> its own chance of bringing stage 1 (see `Factor`), at any age."""
    progress: float = 0.0
    """Chance of moving one stage on, without any cause."""
    progress_causes: Mapping[str, float] = field(default_factory=dict)
    sex: str | None = None
    """`F` or `M` where only they can have it."""
    documented: float = 0.88


@dataclass(frozen=True, slots=True)
class Acute:
    """An event of one visit."""

    code: str
    chance: float
    ages: Ages = ANY_AGE
    causes: Mapping[str, float] = field(default_factory=dict)
    sex: str | None = None


# A factor, the key of `causes`, is a condition's name (any stage), `name>=2` (that stage or a later one), or an acute
# event's code (it happened at an earlier visit). Causes act from the visit after the one where they appear.

CHRONIC = (
    # Habits
    Chronic("tobacco", (("F17.210",), ("Z87.891",)), 0.09, (70, 30), progress=0.24, documented=0.8),
    Chronic("alcohol", (("F10.10",), ("F10.20",)), 0.03, (75, 35), progress=0.24),
    Chronic("opioids", (("F11.20",),), 0.008, (65, 30), {"back_pain": 0.01}),
    # Heart, vessels, metabolism
    Chronic("obesity", (("E66.9",), ("E66.01", "Z68.41")), 0.09, (15, 40), progress=0.05, documented=0.85),
    Chronic(
        "hypertension",
        (("I10",), ("I11.9",), ("I11.0",)),
        0.14,
        (25, 60),
        {"obesity": 0.06, "ckd": 0.1},
        progress=0.02,
        progress_causes={"heart_failure": 0.9},
        documented=0.95,
    ),
    Chronic("lipids", (("E78.5",), ("E78.2",)), 0.13, (25, 60), {"diabetes": 0.1}, progress=0.06, documented=0.92),
    Chronic(
        "diabetes",
        (("E11.9",), ("E11.65",), ("E11.21",), ("E11.22",)),
        0.05,
        (25, 65),
        {"obesity": 0.05, "obesity>=2": 0.05},
        progress=0.2,
        progress_causes={"hypertension": 0.06, "ckd": 0.2},
        documented=0.96,
    ),
    Chronic("insulin", (("Z79.4",),), 0.0, causes={"diabetes": 0.08, "diabetes>=2": 0.2}, documented=0.92),
    Chronic("diabetic_neuropathy", (("E11.40",), ("E11.42",)), 0.0, causes={"diabetes>=2": 0.1}, progress=0.3),
    Chronic("diabetic_retinopathy", (("E11.319",), ("E11.3599",)), 0.0, causes={"diabetes>=2": 0.07}, progress=0.24),
    Chronic(
        "ckd",
        (("N18.30",), ("N18.32",), ("N18.4",), ("N18.5",), ("N18.6", "Z99.2"), ("Z94.0",)),
        0.03,
        (45, 85),
        {"diabetes>=3": 0.35, "hypertension": 0.025, "N17.9": 0.08, "lupus>=2": 0.3},
        progress=0.26,
        progress_causes={"diabetes>=3": 0.24, "hypertension>=2": 0.1, "N17.9": 0.16},
        documented=0.97,
    ),
    Chronic("renal_anemia", (("D63.1",),), 0.0, causes={"ckd>=3": 0.3, "ckd>=5": 0.4}, documented=0.9),
    Chronic("renal_bone", (("N25.81",),), 0.0, causes={"ckd>=4": 0.25, "ckd>=5": 0.3}, documented=0.85),
    Chronic(
        "coronary",
        (("I25.10",), ("I25.119",), ("Z95.1",)),
        0.06,
        (40, 75),
        {"diabetes": 0.03, "tobacco": 0.02, "lipids": 0.01},
        progress=0.16,
        progress_causes={"I21.4": 0.3},
        documented=0.95,
    ),
    Chronic("old_infarction", (("I25.2",),), 0.0, causes={"I21.4": 0.75}),
    Chronic("stent", (("Z95.5",),), 0.0, causes={"I21.4": 0.4, "coronary>=2": 0.08}),
    Chronic("aspirin", (("Z79.82",),), 0.0, causes={"coronary": 0.3, "stroke": 0.3}, documented=0.8),
    Chronic(
        "heart_failure",
        (("I50.9",), ("I50.22",), ("I50.84",)),
        0.015,
        (50, 85),
        {
            "coronary": 0.04,
            "old_infarction": 0.1,
            "cardiomyopathy": 0.25,
            "hypertension>=2": 0.15,
            "fibrillation": 0.03,
        },
        progress=0.36,
        progress_causes={"I21.4": 0.2},
        documented=0.95,
    ),
    Chronic("cardiomyopathy", (("I42.9",),), 0.002, (25, 70), {"alcohol>=2": 0.03, "old_infarction": 0.05}),
    Chronic("defibrillator", (("Z95.810",),), 0.0, causes={"heart_failure>=2": 0.12, "I47.20": 0.35}),
    Chronic(
        "fibrillation",
        (("I48.0",), ("I48.20",)),
        0.03,
        (50, 85),
        {"heart_failure": 0.07, "valve": 0.06, "apnea": 0.01},
        progress=0.4,
        documented=0.94,
    ),
    Chronic("anticoagulant", (("Z79.01",),), 0.0, causes={"fibrillation": 0.4, "I26.99": 0.8, "valve>=2": 0.5}),
    Chronic("pacemaker", (("Z95.0",),), 0.002, (60, 85), {"fibrillation>=2": 0.08}),
    Chronic("valve", (("I35.0",), ("Z95.2",)), 0.015, (60, 85), progress=0.24),
    Chronic(
        "limb_arteries",
        (("I73.9",), ("I70.229",), ("Z89.511",)),
        0.012,
        (50, 80),
        {"diabetes>=2": 0.03, "tobacco": 0.015, "ckd>=5": 0.04},
        progress=0.14,
        progress_causes={"E11.621": 0.4},
    ),
    Chronic("stroke", (("Z86.73",), ("I69.351",)), 0.0, causes={"I63.9": 0.85, "G45.9": 0.6}, progress=0.16),
    Chronic("lung_clot", (("Z86.711",),), 0.0, causes={"I26.99": 0.7}),
    # Lungs
    Chronic(
        "copd",
        (("J44.9",), ("J96.10", "Z99.81")),
        0.01,
        (45, 75),
        {"tobacco": 0.05},
        progress=0.1,
        progress_causes={"J44.1": 0.2, "J96.01": 0.3},
        documented=0.95,
    ),
    Chronic("asthma", (("J45.909",), ("J45.50",)), 0.014, (90, 20), progress=0.12),
    Chronic("apnea", (("G47.33",),), 0.006, (25, 55), {"obesity": 0.03, "obesity>=2": 0.15}),
    Chronic("lung_fibrosis", (("J84.10",),), 0.004, (55, 80), {"rheumatoid": 0.02}),
    Chronic(
        "lung_pressure",
        (("I27.20",),),
        0.001,
        (50, 80),
        {"copd>=2": 0.15, "lung_fibrosis": 0.1, "heart_failure>=2": 0.04},
    ),
    # Digestion and liver
    Chronic("reflux", (("K21.9",), ("K22.70",)), 0.07, (20, 60), {"obesity": 0.02}, progress=0.03),
    Chronic("fatty_liver", (("K76.0",),), 0.004, (25, 60), {"obesity>=2": 0.05, "diabetes": 0.015}, documented=0.75),
    Chronic("hepatitis_c", (("B18.2",),), 0.002, (25, 55), {"opioids": 0.15}),
    Chronic(
        "cirrhosis",
        (("K74.60",), ("K76.6", "I85.00")),
        0.0,
        causes={"alcohol>=2": 0.07, "hepatitis_c": 0.08, "fatty_liver": 0.012},
        progress=0.44,
        documented=0.93,
    ),
    Chronic("bowel_inflammation", (("K50.90",),), 0.004, (80, 25)),
    Chronic("diverticula", (("K57.30",),), 0.025, (45, 80), documented=0.7),
    # Nerves and mind
    Chronic("cognition", (("G31.84",), ("G30.9", "F02.80")), 0.035, (65, 90), {"stroke": 0.03}, progress=0.5),
    Chronic("parkinson", (("G20.A1",),), 0.006, (60, 85)),
    Chronic("epilepsy", (("G40.909",),), 0.003, causes={"stroke": 0.03, "brain_tumor": 0.2}),
    Chronic("sclerosis", (("G35.A",),), 0.003, (60, 30)),
    Chronic("migraine", (("G43.909",),), 0.015, (65, 30), documented=0.75),
    Chronic(
        "depression",
        (("F32.A",), ("F33.1",), ("F33.2",)),
        0.05,
        (90, 25),
        {"stroke": 0.05, "chemotherapy": 0.05},
        progress=0.14,
    ),
    Chronic("anxiety", (("F41.9",), ("F41.1",)), 0.045, (90, 25), {"depression": 0.05}, progress=0.12),
    Chronic("psychosis", (("F20.9",),), 0.002, (60, 25), documented=0.95),
    Chronic("insomnia", (("G47.00",),), 0.015, (20, 60), {"depression": 0.02}, documented=0.65),
    # Glands, joints, bones, kidneys and bladder
    Chronic("thyroid", (("E03.9",),), 0.04, (25, 75), documented=0.93),
    Chronic("vitamin_d", (("E55.9",),), 0.02, (20, 70), {"ckd": 0.03}, documented=0.65),
    Chronic("gout", (("M10.9",),), 0.012, (40, 75), {"ckd": 0.03, "obesity>=2": 0.01}),
    Chronic("bone_loss", (("M81.0",), ("M80.08XA",)), 0.06, (55, 85), progress=0.1, sex="F"),
    Chronic("knee", (("M17.9",), ("Z96.651",)), 0.05, (45, 80), {"obesity>=2": 0.04}, progress=0.14),
    Chronic("hip_implant", (("Z96.641",),), 0.0, causes={"S72.001A": 0.7}),
    Chronic("back_pain", (("M54.50",), ("M48.061",)), 0.035, (25, 65), progress=0.1, documented=0.7),
    Chronic("rheumatoid", (("M06.9",),), 0.005, (30, 65)),
    Chronic("lupus", (("M32.9",), ("M32.14",)), 0.004, (60, 25), progress=0.2, sex="F"),
    Chronic("kidney_stones", (("N20.0",),), 0.01, (20, 55), {"gout": 0.02}, documented=0.6),
    Chronic("prostate", (("N40.0",), ("N40.1",)), 0.09, (50, 80), progress=0.24, sex="M"),
    Chronic("bladder", (("R32",),), 0.015, (55, 90), {"cognition": 0.05, "sclerosis": 0.1}, documented=0.7),
    # Blood and tumours
    Chronic("iron", (("D50.9",),), 0.02, (20, 70), {"K92.2": 0.3, "bowel_inflammation": 0.06}, documented=0.75),
    Chronic("sickle_cell", (("D57.1",),), 0.002, (40, 18), documented=0.95),
    Chronic("platelets", (("D69.6",),), 0.001, causes={"cirrhosis": 0.25, "chronic_leukemia": 0.1}, documented=0.85),
    Chronic("breast_cancer", (("C50.919",), ("C79.51",)), 0.012, (40, 75), progress=0.16, sex="F", documented=0.95),
    Chronic("prostate_cancer", (("C61",), ("Z85.46",)), 0.012, (55, 80), progress=0.3, sex="M", documented=0.93),
    Chronic("colon_cancer", (("C18.9",), ("C78.7",)), 0.006, (50, 80), {"bowel_inflammation": 0.01}, progress=0.24),
    Chronic("lung_cancer", (("C34.90",),), 0.002, (50, 75), {"tobacco": 0.012, "copd": 0.01}, documented=0.96),
    Chronic("brain_tumor", (("C79.31",),), 0.0, causes={"lung_cancer": 0.12, "breast_cancer>=2": 0.06}),
    Chronic("chronic_leukemia", (("C91.10",),), 0.003, (55, 80), documented=0.95),
    Chronic(
        "chemotherapy",
        (("Z51.11",),),
        0.0,
        causes={"breast_cancer": 0.3, "colon_cancer": 0.4, "lung_cancer": 0.5},
        documented=0.7,
    ),
    Chronic("hiv", (("Z21",), ("B20",)), 0.004, (60, 30), {"opioids": 0.03}, progress=0.2, documented=0.95),
    Chronic("cataract", (("H25.9",),), 0.035, (60, 85), {"diabetes": 0.015}, documented=0.55),
    Chronic("hearing", (("H91.90",),), 0.03, (60, 90), documented=0.6),
    Chronic("long_covid", (("U09.9",),), 0.0, causes={"U07.1": 0.25}, documented=0.75),
)

ACUTE = (
    Acute("J18.9", 0.025, (30, 85), {"copd": 0.09, "J69.0": 0.075, "hiv>=2": 0.12, "chemotherapy": 0.075}),
    Acute("N39.0", 0.03, (30, 90), {"prostate>=2": 0.09, "bladder": 0.12, "sclerosis": 0.12}),
    Acute("A41.9", 0.015, (30, 90), {"chemotherapy": 0.12, "cirrhosis": 0.075, "ckd>=5": 0.09}),
    Acute("N17.9", 0.02, (30, 90), {"ckd": 0.15, "heart_failure": 0.12, "cirrhosis": 0.12}),
    Acute("I21.4", 0.004, (40, 80), {"coronary": 0.075, "coronary>=2": 0.12}),
    Acute("I63.9", 0.004, (50, 85), {"fibrillation": 0.045, "hypertension": 0.015, "stroke": 0.045}),
    Acute("G45.9", 0.003, (50, 85), {"fibrillation": 0.015}),
    Acute("I50.23", 0.0, causes={"heart_failure": 0.225, "heart_failure>=2": 0.525}),
    Acute("J44.1", 0.0, causes={"copd": 0.375, "copd>=2": 0.525}),
    Acute("J45.901", 0.0, causes={"asthma": 0.225, "asthma>=2": 0.45}),
    Acute("J96.01", 0.003, (40, 90), {"copd>=2": 0.375, "heart_failure>=2": 0.09, "lung_fibrosis": 0.18}),
    Acute("J69.0", 0.002, (50, 90), {"cognition>=2": 0.15, "parkinson": 0.12}),
    Acute("J90", 0.004, (40, 90), {"heart_failure>=2": 0.225, "lung_cancer": 0.375}),
    Acute("J06.9", 0.02, (90, 20)),
    Acute("U07.1", 0.02),
    Acute("J10.1", 0.01),
    Acute("E87.5", 0.002, causes={"ckd>=3": 0.18, "ckd>=5": 0.3}),
    Acute("E87.1", 0.012, (40, 90), {"heart_failure>=2": 0.12, "cirrhosis": 0.225}),
    Acute("E87.6", 0.02, causes={"bowel_inflammation": 0.09, "alcohol>=2": 0.12}),
    Acute("E86.0", 0.025, (30, 90), {"cognition": 0.09, "chemotherapy": 0.12}),
    Acute("D62", 0.008, (30, 90), {"K92.2": 0.075, "anticoagulant": 0.03}),
    Acute("K92.2", 0.008, (30, 90), {"anticoagulant": 0.06, "cirrhosis>=2": 0.15}),
    Acute("I26.99", 0.003, causes={"chemotherapy": 0.075, "S72.001A": 0.09}),
    Acute("I47.20", 0.0, causes={"heart_failure>=2": 0.075, "cardiomyopathy": 0.09}),
    Acute("I16.0", 0.004, (30, 70), {"hypertension": 0.03, "ckd>=5": 0.09}),
    Acute("I95.3", 0.0, causes={"ckd>=5": 0.375}),
    Acute("T82.7XXA", 0.0, causes={"ckd>=5": 0.18}),
    Acute("T86.11", 0.0, causes={"ckd>=6": 0.3}),
    Acute("L03.115", 0.008, (30, 80), {"obesity>=2": 0.075, "diabetes>=2": 0.045, "limb_arteries": 0.075}),
    Acute(
        "E11.621", 0.0, causes={"diabetic_neuropathy": 0.15, "diabetic_neuropathy>=2": 0.18, "limb_arteries>=2": 0.15}
    ),
    Acute("E11.649", 0.0, causes={"insulin": 0.18}),
    Acute("E11.00", 0.0, causes={"diabetes>=2": 0.075}),
    Acute("K85.90", 0.004, causes={"alcohol": 0.09, "alcohol>=2": 0.09}),
    Acute("K81.0", 0.006, (20, 60)),
    Acute("K35.80", 0.008, (50, 18)),
    Acute("K56.609", 0.005, (30, 80), {"colon_cancer": 0.18, "bowel_inflammation": 0.15}),
    Acute("K57.32", 0.001, causes={"diverticula": 0.105}),
    Acute("A04.72", 0.003, (50, 90), {"A41.9": 0.09, "J18.9": 0.045}),
    Acute("K52.9", 0.015),
    Acute("K59.00", 0.03, (30, 90), {"opioids": 0.225, "parkinson": 0.3}),
    Acute("R18.8", 0.0, causes={"cirrhosis": 0.225, "cirrhosis>=2": 0.525}),
    Acute("K76.82", 0.0, causes={"cirrhosis>=2": 0.45}),
    Acute("I85.11", 0.0, causes={"cirrhosis>=2": 0.225}),
    Acute("K65.2", 0.0, causes={"cirrhosis>=2": 0.15}),
    Acute("F10.231", 0.0, causes={"alcohol>=2": 0.3}),
    Acute("R45.851", 0.002, causes={"depression>=2": 0.12, "depression>=3": 0.3, "psychosis": 0.09}),
    Acute("T40.2X1A", 0.0, causes={"opioids": 0.18}),
    Acute("F05", 0.006, (60, 95), {"cognition": 0.15, "cognition>=2": 0.225}),
    Acute("W19.XXXA", 0.01, (50, 95), {"cognition": 0.09, "parkinson": 0.225, "stroke": 0.06}),
    Acute("S72.001A", 0.002, (60, 95), {"bone_loss": 0.045, "bone_loss>=2": 0.09}),
    Acute("S52.501A", 0.004, causes={"bone_loss": 0.045}),
    Acute("L89.159", 0.001, (60, 95), {"cognition>=2": 0.12, "sclerosis": 0.075}),
    Acute("R07.9", 0.03, (25, 60), {"coronary": 0.09, "anxiety": 0.045}),
    Acute("R55", 0.015, (30, 90), {"valve": 0.09}),
    Acute("R51.9", 0.012, causes={"migraine": 0.06}),
    Acute("G43.911", 0.0, causes={"migraine": 0.225}),
    Acute("G40.901", 0.0, causes={"epilepsy": 0.27}),
    Acute("D57.00", 0.0, causes={"sickle_cell": 0.95}),
    Acute("D70.1", 0.0, causes={"chemotherapy": 0.3}),
    Acute("T45.1X5A", 0.0, causes={"chemotherapy": 0.375}),
    Acute("R11.2", 0.012, causes={"chemotherapy": 0.225}),
    Acute("B37.0", 0.001, causes={"hiv>=2": 0.225, "chemotherapy": 0.09}),
    Acute("M10.072", 0.0, causes={"gout": 0.225}),
    Acute("N23", 0.003, causes={"kidney_stones": 0.3}),
    Acute("N10", 0.005, (70, 20), {"kidney_stones": 0.09}, sex="F"),
    Acute("R33.9", 0.0, causes={"prostate": 0.075, "prostate>=2": 0.225}),
    Acute("I95.9", 0.008, (50, 90), {"parkinson": 0.15, "heart_failure>=3": 0.3}),
    Acute("M54.16", 0.004, causes={"back_pain": 0.075, "back_pain>=2": 0.225}),
)


def all_codes() -> list[str]:
    """Every code the cohort can hold, sorted."""
    codes = [code for condition in CHRONIC for stage in condition.stages for code in stage]
    return sorted([*codes, *(event.code for event in ACUTE)])
