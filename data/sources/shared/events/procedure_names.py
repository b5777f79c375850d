"""What a procedure's code says of itself, where no table has its title: its chapter in ICD-9-CM (volume 3), its
section, body system and root operation in ICD-10-PCS. No installed package holds the titles."""

import re

_CHAPTERS = (
    (0, "Procedures and interventions, not elsewhere classified"),
    (5, "Operations on the nervous system"),
    (7, "Operations on the endocrine system"),
    (16, "Operations on the eye"),
    (17, "Other miscellaneous diagnostic and therapeutic procedures"),
    (20, "Operations on the ear"),
    (29, "Operations on the nose, mouth and pharynx"),
    (34, "Operations on the respiratory system"),
    (39, "Operations on the cardiovascular system"),
    (41, "Operations on the hemic and lymphatic system"),
    (54, "Operations on the digestive system"),
    (59, "Operations on the urinary system"),
    (64, "Operations on the male genital organs"),
    (71, "Operations on the female genital organs"),
    (75, "Obstetrical procedures"),
    (84, "Operations on the musculoskeletal system"),
    (86, "Operations on the integumentary system"),
    (99, "Miscellaneous diagnostic and therapeutic procedures"),
)
"""The last category of each chapter of ICD-9-CM, and its name; chapters in order."""
_SECTIONS = {
    "0": "Medical and Surgical",
    "1": "Obstetrics",
    "2": "Placement",
    "3": "Administration",
    "4": "Measurement and Monitoring",
    "5": "Extracorporeal or Systemic Assistance and Performance",
    "6": "Extracorporeal or Systemic Therapies",
    "7": "Osteopathic",
    "8": "Other Procedures",
    "9": "Chiropractic",
    "B": "Imaging",
    "C": "Nuclear Medicine",
    "D": "Radiation Therapy",
    "F": "Physical Rehabilitation and Diagnostic Audiology",
    "G": "Mental Health",
    "H": "Substance Abuse Treatment",
    "X": "New Technology",
}
_VALUES = "0123456789BCDFGHJKLMNPQRSTUVWXY"
_SYSTEM_NAMES = (
    "Central Nervous System and Cranial Nerves;Peripheral Nervous System;Heart and Great Vessels;Upper "
    "Arteries;Lower Arteries;Upper Veins;Lower Veins;Lymphatic and Hemic Systems;Eye;Ear, Nose, Sinus;Respiratory "
    "System;Mouth and Throat;Gastrointestinal System;Hepatobiliary System and Pancreas;Endocrine System;Skin and "
    "Breast;Subcutaneous Tissue and Fascia;Muscles;Tendons;Bursae and Ligaments;Head and Facial Bones;Upper "
    "Bones;Lower Bones;Upper Joints;Lower Joints;Urinary System;Female Reproductive System;Male Reproductive "
    "System;Anatomical Regions, General;Anatomical Regions, Upper Extremities;Anatomical Regions, Lower Extremities"
)
_OPERATION_NAMES = (
    ""
    "Alteration;Bypass;Change;Control;Creation;Destruction;Detachment;Dilation;Division;Drainage;Excision;Extirpation;Extraction;Fragmentation;Fusion;Insertion;Inspection;Map;Occlusion;Reattachment;Release;Removal;Repair;Replacement;Reposition;Resection;Supplement;Restriction;Revision;Transfer;Transplantation"
)
_BODY_SYSTEMS, _OPERATIONS = (
    dict(zip(_VALUES, names.split(";"), strict=True)) for names in (_SYSTEM_NAMES, _OPERATION_NAMES)
)
"""Of section 0."""


def procedure_key(code: str, version: int) -> str:
    """How an event calls the procedure: version and code, without the dot, in upper case; empty for what is none."""
    plain = code.replace(".", "").strip().upper()
    form = r"\d{2,4}" if version == 9 else r"[0-9A-HJ-NP-Z]{7}"
    return f"{version}:{plain}" if re.fullmatch(form, plain) else ""


def name_of_procedure(key: str) -> str:
    """A name for `procedure_key`'s form, which ends with the code itself."""
    version, _, code = key.partition(":")
    if version == "9":
        category = int(code[:2])
        # Chapter 17 of ICD-9-CM was put between those of the eye and the ear.
        chapter = next(name for last, name in _CHAPTERS if category <= last)
        return f"{chapter} ({code[:2]}.{code[2:]})" if code[2:] else f"{chapter} ({code})"
    parts = [_SECTIONS.get(code[0], "Procedure")]
    if code[0] == "0":
        said = (_BODY_SYSTEMS.get(code[1]), _OPERATIONS.get(code[2]))  # seven characters need not be a code that exists
        parts += [name for name in said if name is not None]
    return f"{', '.join(parts)} ({code})"
