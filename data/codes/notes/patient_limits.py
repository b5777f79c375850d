"""Codes that only some patients can have, by sex and age.

Kinds and ages are those of the Medicare Code Editor (CMS, `Definitions of Medicare Code Edits`: edit 4, age conflict,
and 5, sex conflict). The codes are not CMS's lists, which change every year, and were not compared with them: they are
the chapters, blocks and categories whose titles name a female or male organ, pregnancy, birth or an age. What may last
beyond an age is left out, such as P07 (former preterm birth) and P27 (chronic lung disease of the newborn), and so is
what a heading mixes. Medicare no longer refuses claims on the sex edit, since the sex of a record need not be the
patient's anatomy: it is a sign of an error, no proof.
"""

FEMALE, MALE = "female_only", "male_only"
NEWBORN, PEDIATRIC, MATERNITY, ADULT = "newborn_only", "pediatric_only", "maternity_age", "adult_only"
AGES = {NEWBORN: (0, 1), PEDIATRIC: (0, 18), MATERNITY: (9, 65), ADULT: (15, 125)}
"""The first age of each, and the one behind the last; `mera.evaluation.coding_rules` has the same."""

_Limits = dict[str, tuple[str, str]]
"""Kind -> ranges of codes, and why."""

ICD10: _Limits = {
    FEMALE: (
        "A34 A59.01 B37.3 C51-C58 C79.6 D06 D07.0-D07.3 D25-D28 D39 E28 F52.5 F53 I86.3 L29.2 M83.0 N70-N98 "
        "N99.2-N99.3 O00-O9A Q50-Q52 R87 S31.4 S37.4-S37.6 T19.2-T19.3 T83.3 Z01.4 Z12.4 Z32-Z37 Z39 Z3A "
        "Z85.40-Z85.44 Z90.71-Z90.72",
        "diseases of female organs, pregnancy, childbirth and the puerperium",
    ),
    MALE: (
        "A18.14-A18.15 A54.22-A54.23 A59.02 B26.0 C60-C63 D07.4-D07.6 D29 D40 E29 F52.4 I86.1 L29.1 N40-N53 "
        "Q53-Q55 R86 R97.2 S31.2-S31.3 Z12.5 Z85.45-Z85.49 Z98.52",
        "diseases of male organs",
    ),
    NEWBORN: (
        "A33 P00-P04 P22 P36 P38 P55-P59 P92 Z00.11 Z38",
        "conditions of the first weeks of life, birth and the newborn's examination",
    ),
    PEDIATRIC: (
        "Z00.12 Z00.2",
        "examinations of a child",
    ),
    MATERNITY: (
        "O00-O9A Z33-Z34 Z36-Z37 Z39 Z3A",
        "pregnancy, childbirth and the puerperium",
    ),
    ADULT: (
        "H25 M80.0 M81.0 N40 N95 Z98.52",
        "conditions of adults",
    ),
}
ICD9: _Limits = {
    FEMALE: (
        "179-184 198.6 218-221 233.1-233.3 236.0-236.3 256 302.73 306.51 456.6 614-679 752.0-752.4 "
        "867.4-867.5 878.4-878.7 939.1-939.2 996.32 V22-V24 V27-V28 V72.3-V72.4 V76.2 V88.0",
        "diseases of female organs, pregnancy, childbirth and the puerperium",
    ),
    MALE: (
        "072.0 098.12-098.14 131.03 185-187 222 233.4-233.6 236.4-236.6 257 302.74 456.4 600-608 752.5-752.6 "
        "790.93 878.0-878.3 V76.44-V76.45 V26.52",
        "diseases of male organs",
    ),
    NEWBORN: (
        "762 763 769 771.3-771.8 773-774 779.3 V20.3 V30-V39",
        "conditions of the first weeks of life, birth and the newborn's examination",
    ),
    PEDIATRIC: (
        "V20.0-V20.2",
        "examinations of a child",
    ),
    MATERNITY: (
        "630-679 V22-V24 V27-V28",
        "pregnancy, childbirth and the puerperium",
    ),
    ADULT: (
        "366.1 600 627 797 V26.52",
        "conditions of adults",
    ),
}
