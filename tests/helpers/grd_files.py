"""Yearly files of Chile's GRD as the documentation describes them, in each of the three forms."""

import random

FORMS = {2019: "utf-8", 2020: "utf-8", 2021: "utf-8-sig", 2022: "utf-16", 2023: "utf-16", 2024: "cp1252"}
CODES = ("I10", "E11.9", "K80.2", "J18.9", "U07.1", "N18.5", "H26.9", "O80.0", "Z37.0")


def header(year, diagnoses=35):
    patient = "ID_BENEFICIARIO" if year == 2024 else "CIP_ENCRIPTADO"
    names = ["COD_HOSPITAL", patient, "SEXO", "FECHA_NACIMIENTO", "ETNIA", "FECHA_INGRESO", "FECHAALTA", "TIPOALTA"]
    names += [f"DIAGNOSTICO{number}" for number in range(1, diagnoses + 1)]
    return names + [f"PROCEDIMIENTO{number}" for number in range(1, 31)] + ["IR_29301_COD_GRD"]


def date(iso, year):
    """2019 and 2020 have ISO dates here, later years the day first."""
    return iso if year < 2021 or not iso else "-".join(reversed(iso.split("-")))


def row(year, patient, admitted, codes, discharged=None, sex="MUJER", birth="1960-05-20", hospital="114101", **more):
    discharged = admitted if discharged is None else discharged
    cells = [hospital, patient, sex, date(birth, year), "MAPUCHE", date(admitted, year), date(discharged, year)]
    cells += [more.get("ending", "DOMICILIO"), *codes, *[""] * (35 - len(codes)), "99.29", *[""] * 29, "022360"]
    return cells


def write(folder, year, rows, separator="|", encoding=None, name=None, line_end="\r\n"):
    """GRD_PUBLICO_<year>.txt in its year's encoding."""
    lines = [separator.join(cells) for cells in (header(year), *rows)]
    text = line_end.join(lines) + line_end
    path = folder / (name or f"GRD_PUBLICO_{year}.txt")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding or FORMS[year]))
    return path


def patients(year, count, first=100, seed=0):
    """Two discharges in `year` for each patient."""
    draw = random.Random(f"{seed} {year}")
    return [
        row(year, str(first + number), f"{year}-{month:02d}-{draw.randint(1, 28):02d}", draw.sample(CODES, 3))
        for number in range(count)
        for month in (2, 9)
    ]
