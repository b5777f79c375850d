"""Exports of hospitals that write no English: what their columns are called, with accents and without, and the encoding
of Windows in their country."""

import unicodedata

import pytest

from data.sources.shared.own_table.guess.guess import TableGuess
from data.sources.shared.own_table.guess.guess_table import guess_table

HEADERS = {
    "polish": (
        "Nazwisko pacjenta",
        "Numer pacjenta",
        "Data wypisu",
        "Data przyjęcia",
        "Płeć",
        "Wiek",
        "Data urodzenia",
    ),
    "czech": (
        "Příjmení pacienta",
        "Číslo pacienta",
        "Datum propuštění",
        "Datum přijetí",
        "Pohlaví",
        "Věk",
        "Dat. nar.",
    ),
    "hungarian": (
        "Beteg neve",
        "Beteg azonosító",
        "Távozás dátuma",
        "Felvétel dátuma",
        "Nem",
        "Életkor",
        "Születési dátum",
    ),
    "romanian": ("Nume pacient", "CNP", "Data externării", "Data internării", "Sex", "Vârsta", "Data nașterii"),
    "croatian": (
        "Prezime bolesnika",
        "Broj bolesnika",
        "Datum otpusta",
        "Datum prijema",
        "Spol",
        "Starost",
        "Datum rođenja",
    ),
    "turkish": ("Hasta adı soyadı", "Hasta No", "Taburcu tarihi", "Yatış tarihi", "Cinsiyet", "Yaş", "Doğum tarihi"),
    "finnish": ("Potilaan nimi", "Potilasnumero", "Lähtöpäivä", "Tulopäivä", "Sukupuoli", "Ikä", "Syntymäaika"),
    "norwegian": (
        "Pasientens fornavn",
        "Personnr",
        "Utskrivningsdato",
        "Innleggelsesdato",
        "Kjønn",
        "Alder",
        "Fødselsdato",
    ),
    "italian": (
        "Cognome paziente",
        "Codice paziente",
        "Data dimissione",
        "Data ricovero",
        "Sesso",
        "Età",
        "Data di nascita",
    ),
    "portuguese": (
        "Nome do utente",
        "Nº utente",
        "Data de saída",
        "Data de admissão",
        "Género",
        "Idade",
        "Data de nascimento",
    ),
    "greek": (
        "Επώνυμο ασθενούς",
        "Κωδικός ασθενούς",
        "Ημερομηνία εξόδου",
        "Ημερομηνία εισαγωγής",
        "Φύλο",
        "Ηλικία",
        "Ημ. γέννησης",
    ),
    "russian": (
        "Фамилия пациента",
        "Номер пациента",
        "Дата выписки",
        "Дата поступления",
        "Пол",
        "Возраст",
        "Дата рождения",
    ),
    "ukrainian": (
        "Прізвище пацієнта",
        "Номер пацієнта",
        "Дата виписки",
        "Дата госпіталізації",
        "Стать",
        "Вік",
        "Дата народження",
    ),
    "chinese": ("姓名", "病案号", "出院日期", "入院日期", "性别", "年龄", "出生日期"),
    "japanese": ("患者氏名", "患者ID", "退院年月日", "入院年月日", "性別", "年齢", "患者生年月日"),
}
"""Language -> a person's name, id, the day of leaving, of coming, sex, age and birth."""
DIAGNOSES = {
    "polish": ("Rozpoznanie współistniejące", "Rozpoznanie zasadnicze"),
    "czech": ("Vedlejší dg. (MKN)", "Hlavní dg. (MKN)"),
    "croatian": ("Prateća MKB", "Glavna MKB"),
    "turkish": ("Ek tanı", "Ana tanı"),
    "russian": ("Сопутствующий диагноз", "Основной диагноз"),
    "swedish": ("Bidiagnos", "Huvuddiagnos"),
    "chinese": ("其他诊断编码", "主要诊断编码"),
    "english": ("Additional Diagnosis", "Principal Diagnosis"),
}
"""Language -> names of columns of other diagnoses and of the principal one."""
CODES = ("I10", "E11.9", "J18.9", "N17.9", "I50.0", "K52.9", "M17.9")


def table(path, header, encoding, with_birth=False, sexes=("F", "M")):
    """40 patients of two visits."""
    name, patient, left, came, sex, age, birth = header
    columns = [name, patient, left, came, sex, birth if with_birth else age, "icd"]
    lines = [";".join(column.replace(";", " ") for column in columns)]
    for row in range(80):
        who, day = row // 2, 1 + row % 28
        is_old = f"{day:02}.05.19{40 + who}" if with_birth else str(30 + who + row % 2)
        cells = (f"N{who % 17}", f"P{who:03}", f"{day:02}.0{7 + row % 2}.2021", f"{day:02}.0{5 + row % 2}.2021")
        lines.append(";".join((*cells, sexes[who % 2], is_old, CODES[row % 7])))
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


@pytest.mark.parametrize("language", HEADERS)
@pytest.mark.parametrize("with_birth", [False, True])
def test_what_columns_are_called(tmp_path, language, with_birth):
    _, patient, _, came, sex, age, birth = (name.lower() for name in HEADERS[language])
    guess = guess_table(table(tmp_path / "t.csv", HEADERS[language], "utf-8", with_birth), TableGuess())
    assert (guess.patient, guess.time, guess.sex) == (patient, came, sex)
    assert (guess.age, guess.birth_date) == ((None, birth) if with_birth else (age, None))


@pytest.mark.parametrize("language", ["polish", "czech", "romanian", "croatian", "finnish", "italian", "portuguese"])
def test_names_without_their_accents(tmp_path, language):
    plain = str.maketrans("ęłćźżóąśříěčňáéâăćžđäíãèúșťôøıàê", "elczzoasriecnaeaaczdaiaeustooiae")
    header = [name.lower().translate(plain).replace("º", "o").replace(" ", "_") for name in HEADERS[language]]
    guess = guess_table(table(tmp_path / "t.csv", header, "utf-8"), TableGuess())
    assert (guess.patient, guess.time, guess.sex, guess.age) == (header[1], header[3], header[4], header[5])


@pytest.mark.parametrize(
    ("language", "encoding", "sexes"),
    [
        ("polish", "cp1250", ("kobieta", "mężczyzna")),
        ("czech", "cp1250", ("žena", "muž")),
        ("hungarian", "cp1250", ("nő", "férfi")),
        ("russian", "cp1251", ("F", "M")),
        ("greek", "cp1253", ("F", "M")),
        ("turkish", "cp1254", ("F", "M")),
        ("italian", "cp1252", ("F", "M")),
        ("portuguese", "cp1252", ("F", "M")),
        ("norwegian", "cp1252", ("F", "M")),
        ("chinese", "gb18030", ("女", "男")),
        ("japanese", "cp932", ("女", "男")),
    ],
)
def test_the_encoding_of_a_country_is_known_by_its_words(tmp_path, capsys, language, encoding, sexes):
    path = table(tmp_path / "t.csv", HEADERS[language], encoding, sexes=sexes)
    guess = guess_table(path, TableGuess())
    assert (guess.encoding, guess.patient) == (encoding, HEADERS[language][1].lower())
    assert guess.sex == HEADERS[language][4].lower()
    assert f"not in UTF-8, read as {encoding} (--encoding NAME reads it in another)" in capsys.readouterr().err


def test_words_for_the_sexes_alone_tell_the_encoding(tmp_path):
    header = ("x", "pid", "left", "admitted", "sex", "age", "birth")
    path = table(tmp_path / "t.csv", header, "cp1250", sexes=("kobieta", "mężczyzna"))
    assert guess_table(path, TableGuess()).encoding == "cp1250"


@pytest.mark.parametrize("language", DIAGNOSES)
def test_the_principal_diagnosis_comes_first(tmp_path, language):
    rows = [f"P{row // 2},202{row % 2}-01-01,{CODES[row % 7]},{CODES[row % 5]}" for row in range(80)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join([f"pid,day,{','.join(DIAGNOSES[language])}", *rows]) + "\n", encoding="utf-8")
    assert guess_table(path, TableGuess()).code == [name.lower() for name in reversed(DIAGNOSES[language])]


@pytest.mark.parametrize(
    ("language", "encoding", "word"),
    [
        ("polish", "iso8859_2", "Gałąź ośrodka"),
        ("czech", "iso8859_2", "Pojišťovna"),
        ("russian", "koi8_r", "Область"),
        ("russian", "iso8859_5", "Область"),
    ],
)
def test_older_encodings_are_known_by_their_words_too(tmp_path, language, encoding, word):
    guess = guess_table(table(tmp_path / "t.csv", (word, *HEADERS[language][1:]), encoding), TableGuess())
    assert (guess.encoding, guess.time) == (encoding, HEADERS[language][3].lower())


def test_signs_inside_words_tell_an_encoding_under_names_in_ascii(tmp_path):
    rows = [f"P{row // 2},202{row % 2}-01-01,I10,współistniejące {row} powikłania" for row in range(40)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["pid,day,icd,opis", *rows]) + "\n", encoding="cp1250")
    assert guess_table(path, TableGuess()).encoding == "cp1250"


def test_capitals_of_turkish_and_letters_in_two_parts(tmp_path):
    for form in (str.upper, lambda name: unicodedata.normalize("NFD", name)):
        turkish = [form(name.replace("i", "İ") if form is str.upper else name) for name in HEADERS["turkish"]]
        path = table(tmp_path / "t.csv", turkish, "utf-8")
        path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
        guess = guess_table(path, TableGuess())
        assert guess.sex is not None, turkish
        assert guess.time is not None


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("leito:bed prontuario:id data_internacao:day CID:code", ("code", ["cid"])),
        ("utente_inserimento:clerk codice_paziente:id data:day dx:code", ("patient", "codice_paziente")),
        ("id_paziente_ricoverato:id data_ricovero:day dx:code", ("patient", "id_paziente_ricoverato")),
        ("nem:12 patientnr:id opnamedatum:day geslacht:FM dx:code", ("sex", "geslacht")),
        ("genre_sejour:12 ipp:id date_entree:day sexe:FM dx:code", ("sex", "sexe")),
        ("pol:12 pid:id admitted:day dx:code", ("sex", None)),
        ("ambulant_dato:later cpr:id indlæggelsesdato:day dx:code", ("time", "indlæggelsesdato")),
        ("kor:age pid:id admitted:day age_years:age dx:code", ("age", "age_years")),
        ("fecha_salida:later id_paciente:id fecha_atencion:day dx:code", ("time", "fecha_atencion")),
        ("date_fin_sejour:later ipp:id date_debut_sejour:day dx:code", ("time", "date_debut_sejour")),
    ],
)
def test_words_of_one_language_do_not_mislead_in_another(tmp_path, columns, expected):
    values = {
        "id": lambda row: f"P{row // 2:03}",
        "day": lambda row: f"202{row % 2}-0{1 + row % 9}-10",
        "later": lambda row: f"202{row % 2}-0{1 + row % 9}-14",
        "code": lambda row: CODES[row % 7],
        "bed": lambda row: f"{'ABK'[row % 3]}{10 + row % 40}",
        "clerk": lambda row: f"u{row % 30}",
        "12": lambda row: 1 + row // 2 % 2,
        "FM": lambda row: "FM"[row // 2 % 2],
        "age": lambda row: 30 + row // 2,
    }
    kinds = dict(column.split(":") for column in columns.split())
    rows = [",".join(str(values[kind](row)) for kind in kinds.values()) for row in range(80)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join([",".join(kinds), *rows]) + "\n", encoding="utf-8")
    meaning, column = expected
    assert getattr(guess_table(path, TableGuess()), meaning) == column
