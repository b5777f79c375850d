"""Small files of the kinds that can be added to a code book."""

import zipfile

INDEX = """<?xml version="1.0" encoding="utf-8"?><ICD10CM.index><version>{year}</version><letter>
<mainTerm><title>Diabetes, diabetic<nemod>(mellitus) (sugar)</nemod></title><code>E11.9</code>
<term level="1"><title>with</title><term level="2"><title>nephropathy</title><code>E11.21</code></term></term>
<term level="1"><title>ghostly</title><code>Q99.Z</code></term></mainTerm></letter></ICD10CM.index>"""
TABULAR = """<?xml version="1.0" encoding="utf-8"?><ICD10CM.tabular><version>{year}</version>
<chapter><name>4</name><desc>Endocrine, nutritional and metabolic diseases (E00-E89)</desc>
<section id="E08-E13"><desc>Diabetes mellitus (E08-E13)</desc>
<diag><name>E11</name><desc>Type 2 diabetes mellitus</desc>
<excludes1><note>gestational diabetes (O24.4-)</note></excludes1>
<diag><name>E11.9</name><desc>Type 2 diabetes mellitus without complications</desc>
<inclusionTerm><note>Diabetes of the old days</note></inclusionTerm></diag></diag></section></chapter>
</ICD10CM.tabular>"""
ICD9_INDEX = rb"""{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}
\pard INDEX TO DISEASES AND INJURIES\par A\par
\pard\fi-1080\li1080 Diabetes, diabetic (mellitus) 250.0\par
\pard\fi-720\li1080 retinopathy 250.5 [362.01]\par
ghostly 999.95\par
\pard\fi-1080\li1080 M\'e9ni\'e8re's disease 386.00\par }"""
ICD9_TABULAR = """CLASSIFICATION OF DISEASES AND INJURIES

3. ENDOCRINE, NUTRITIONAL AND METABOLIC DISEASES (240-279)

250 Diabetes mellitus

Excludes: gestational diabetes (648.8)

250.0 Diabetes mellitus without mention of complication

Sugar sickness NOS
"""


def icd10_zip(path, year=2017, index=INDEX, tabular=TABULAR):
    """The CDC's zip; None leaves a file out."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (("index", index), ("tabular", tabular)):
            if text is not None:
                archive.writestr(f"Table and Index/icd10cm_{name}_{year}.xml", text.format(year=year))
    return path


def icd9_zip(path, rtf=ICD9_INDEX, name="Dindex12.rtf"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, rtf)
    return path


def table(path, *rows, header="code,term,language"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path
