"""Names of drugs as orders write them, and the class each is in."""

import pytest

from data.sources.shared.events.drug_classes import drug_class


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Metoprolol Tartrate", "metoprolol"),
        ("METOPROLOL SUCCINATE XL 25 mg Tab", "metoprolol"),
        ("metoprolol 50 MG PO TABS", "metoprolol"),
        ("Heparin Sodium", "heparin"),
        ("Heparin Flush (10 units/ml)", "heparin"),
        ("0.9% Sodium Chloride", "sodium chloride"),
        ("1000 ML  -  SODIUM CHLORIDE 0.9 % IV SOLN", "sodium chloride"),
        ("5 ML VIAL : DILTIAZEM HCL 25 MG/5ML IV SOLN", "diltiazem"),
        ("SODIUM CHLORIDE 0.9 % IV : 1000 ML", "sodium chloride"),
        ("Sodium Bicarbonate", "sodium bicarbonate"),
        ("5% Dextrose", "dextrose"),
        ("Insulin Human Regular", "insulin"),
        ("insulin glargine", "insulin"),
        ("Vitamin D", "vitamin d"),
        ("Vit D", "vitamin d"),
        ("VIT. B12 1000 mcg", "vitamin b12"),
        ("Vitamin B 6", "vitamin b6"),
        ("VITAMIN B-12", "vitamin b12"),
        ("vitamin d 50 mcg", "vitamin d"),
        ("Vitamin C 25 mg", "vitamin c"),
        ("vitamin b 50 mg", "vitamin b"),
        ("Vitamin D3 10 ug", "vitamin d3"),
        ("300 gabapentin", "gabapentin"),
        ("40 lisinopril", "lisinopril"),
        ("5 mg gentamicin", "gentamicin"),
        ("5mL lactulose", "lactulose"),
        ("Piperacillin-Tazobactam Na", "piperacillin-tazobactam"),
        ("*NF* Ertapenem Sodium", "ertapenem"),
        ("Losartan Potassium", "losartan"),
        ("Potassium Chloride Replacement (Oncology)", "potassium chloride"),
        ("Folic Acid", "folic acid"),
        ("hydrALAzine inj 20 mg/mL", "hydralazine"),
        ("Müllerin Sirup", "müllerin sirup"),
        ("Parace\u0301tamol 500 mg", "paracétamol"),  # the accent as a character of its own
        ("D5W", ""),
        ("40 mg", ""),
        ("", ""),
    ],
)
def test_a_drug_is_in_the_class_of_its_substance(name, expected):
    assert drug_class(name) == expected
