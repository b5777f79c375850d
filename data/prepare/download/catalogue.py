"""Where the data sets lie that `mera prepare` reads: published addresses and licences, or whom to ask.

A sha256 stands here only where it was published (PhysioNet's SHA256SUMS.txt of the MIMIC-IV demo 2.2) and seen by us;
`sums` names the list that a server publishes beside its files, which is fetched and used. For the others nobody
published one, and the command says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteFile:
    """One file of a data set."""

    path: str
    """Where it goes, below the output folder."""
    address: str
    sha256: str | None = None
    unpack: bool = False
    """A zip whose files are to lie in the output folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """One data set that `mera download` knows."""

    name: str
    title: str
    licence: str
    page: str
    """Where people read of it, or ask for it."""
    files: Sequence[RemoteFile] = ()
    """None: it has no address that can be fetched without asking."""
    sums: str | None = None
    """Address of a list `sha256  path` of the same folder."""
    use: str = ""
    """The command that reads it; `{folder}` stands for where it lies."""
    how: str = ""
    """What to do where there is nothing to fetch."""


def _of_physionet(base: str, *paths: str, sums: dict[str, str] | None = None) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(path=path, address=f"https://physionet.org/files/{base}/{path}", sha256=(sums or {}).get(path))
        for path in paths
    )


_SYNPUF = "https://www.cms.gov/research-statistics-data-and-systems/downloadable-public-use-files/synpufs/downloads"
_ASK_PHYSIONET = (
    "It is free for researchers: make an account at physionet.org, finish the training in research with human "
    "subjects (CITI), apply for credentialed access, and sign the agreement on the page; then the page shows how to "
    "fetch it. The agreement does not let anyone pass it on, so this command cannot."
)
DATA_SETS: tuple[DataSet, ...] = (
    DataSet(
        name="diabetes130",
        title="Diabetes 130-US Hospitals for Years 1999-2008 (UCI 296)",
        licence="CC BY 4.0; cite Strack et al. 2014, doi 10.24432/C5230J",
        page="https://archive.ics.uci.edu/dataset/296/diabetes+130-us+hospitals+for+years+1999-2008",
        files=(
            RemoteFile(
                path="diabetes130.zip",
                address="https://archive.ics.uci.edu/static/public/296/"
                "diabetes+130-us+hospitals+for+years+1999-2008.zip",
                unpack=True,
            ),
        ),
        use="mera prepare diabetes130 --input {folder}/diabetic_data.csv --output prepared/diabetes130 --every-visit",
    ),
    DataSet(
        name="codiesp",
        title="CodiEsp, clinical cases with ICD-10 codes (CLEF eHealth 2020)",
        licence="CC BY 4.0; cite Miranda-Escalada et al. 2020, doi 10.5281/zenodo.3837305",
        page="https://zenodo.org/records/3837305",
        files=(
            RemoteFile(
                path="codiesp.zip",
                address="https://zenodo.org/record/3837305/files/codiesp.zip?download=1",
                unpack=True,
            ),
        ),
        use="mera prepare codiesp --input {folder}/final_dataset_v4_to_publish --output prepared/codiesp-en",
    ),
    DataSet(
        name="desynpuf",
        title="CMS 2008-2010 DE-SynPUF, sample 1: invented Medicare claims",
        licence="public use file of the United States government",
        page="https://www.cms.gov/data-research/statistics-trends-and-reports/"
        "medicare-claims-synthetic-public-use-files",
        files=tuple(
            RemoteFile(path=name, address=f"{_SYNPUF}/{name.lower()}")
            for name in (
                "DE1_0_2008_Beneficiary_Summary_File_Sample_1.zip",
                "DE1_0_2008_to_2010_Inpatient_Claims_Sample_1.zip",
            )
        ),
        use="mera prepare desynpuf --input {folder} --output prepared/desynpuf",
    ),
    DataSet(
        name="mimic4-demo",
        title="MIMIC-IV Clinical Database Demo 2.2: 100 patients",
        licence="ODbL 1.0; doi 10.13026/dp1f-ex47",
        page="https://physionet.org/content/mimic-iv-demo/2.2/",
        files=_of_physionet(
            "mimic-iv-demo/2.2",
            "hosp/admissions.csv.gz",
            "hosp/patients.csv.gz",
            "hosp/diagnoses_icd.csv.gz",
            sums={
                "hosp/admissions.csv.gz": "910b9f160ffdf1e08ea673585393f347c773ccc87d66875c627584a903ae8493",
                "hosp/patients.csv.gz": "59dcc6cd8450ddf03ad32cc7d76e41caa4c9633541715987f590c74835cf6fae",
                "hosp/diagnoses_icd.csv.gz": "958565670c0b3903c0c12825366dc2bae8561d2d55f16feac0c949dd630ed3e4",
            },
        ),
        use="mera prepare mimic4 --input {folder} --code-system to-icd10 --protocol kfold --output prepared/demo",
    ),
    DataSet(
        name="mimic3-demo",
        title="MIMIC-III Clinical Database Demo 1.4: 100 patients",
        licence="ODbL 1.0; doi 10.13026/C2HM2Q",
        page="https://physionet.org/content/mimiciii-demo/1.4/",
        files=_of_physionet("mimiciii-demo/1.4", "ADMISSIONS.csv", "PATIENTS.csv", "DIAGNOSES_ICD.csv"),
        sums="https://physionet.org/files/mimiciii-demo/1.4/SHA256SUMS.txt",
        use="mera prepare mimic3 --input {folder} --protocol kfold --output prepared/mimic3-demo",
    ),
    DataSet(
        name="mimic-ed-demo",
        title="MIMIC-IV-ED Demo 2.2: emergency stays of 100 patients",
        licence="ODbL 1.0",
        page="https://physionet.org/content/mimic-iv-ed-demo/2.2/",
        files=_of_physionet("mimic-iv-ed-demo/2.2", "ed/edstays.csv.gz", "ed/diagnosis.csv.gz", "ed/triage.csv.gz"),
        sums="https://physionet.org/files/mimic-iv-ed-demo/2.2/SHA256SUMS.txt",
        use="mera prepare mimic-ed --input {folder} --code-system to-icd10 --protocol kfold --output prepared/ed-demo",
    ),
    DataSet(
        name="eicu-demo",
        title="eICU Collaborative Research Database Demo 2.0.1: 2,520 ICU stays",
        licence="ODbL 1.0",
        page="https://physionet.org/content/eicu-crd-demo/2.0.1/",
        files=_of_physionet("eicu-crd-demo/2.0.1", "patient.csv.gz", "diagnosis.csv.gz"),
        sums="https://physionet.org/files/eicu-crd-demo/2.0.1/SHA256SUMS.txt",
        use="mera prepare eicu --input {folder} --protocol kfold --output prepared/eicu-demo",
    ),
    DataSet(
        name="icd-index",
        title="ICD-10-CM 2017: alphabetic index and tabular list of the CDC",
        licence="public domain (United States government)",
        page="https://www.cdc.gov/nchs/icd/icd-10-cm/files.html",
        files=(
            RemoteFile(
                path="ICD10CM_FY2017_Full_XML.zip",
                address="https://ftp.cdc.gov/pub/Health_Statistics/NCHS/Publications/ICD10CM/2017/"
                "ICD10CM_FY2017_Full_XML.zip",
            ),
        ),
        use="mera ontology add {folder}/ICD10CM_FY2017_Full_XML.zip",
    ),
    DataSet(
        name="grd-chile",
        title="Discharges of Chile's public hospitals by GRD, 2019 to 2024 (FONASA)",
        licence="open government data of Chile; the portal states the terms",
        page="https://datosabiertos.fonasa.cl",
        how="It is free for everybody, but the portal hands the yearly files out by a page, not by an address that "
        "stays. Put GRD_PUBLICO_2019.txt and so on, about 4 GB as text, into one folder, and run "
        "`mera prepare grd-chile --input FOLDER --output prepared/grd`.",
    ),
    *(
        DataSet(
            name=name,
            title=title,
            licence="PhysioNet Credentialed Health Data License 1.5.0",
            page=f"https://physionet.org/content/{page}/",
            how=_ASK_PHYSIONET,
        )
        for name, title, page in (
            ("mimic3", "MIMIC-III Clinical Database", "mimiciii/1.4"),
            ("mimic4", "MIMIC-IV", "mimiciv"),
            ("mimic4-notes", "MIMIC-IV-Note", "mimic-iv-note"),
            ("mimic-cxr", "MIMIC-CXR Database", "mimic-cxr"),
            ("mimic-ed", "MIMIC-IV-ED", "mimic-iv-ed"),
            ("eicu", "eICU Collaborative Research Database", "eicu-crd"),
        )
    ),
)
