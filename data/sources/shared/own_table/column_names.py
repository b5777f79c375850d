"""What columns are called in hospitals' tables, in several languages: the names of each kind of column, those that
decide where several would do, and those that a column of the kind has not.

A name is read as its words: `att_date`, `att-date` and `Att Date` are `att date`. Patterns that begin with `\\b` fit
where a word begins, so that `end` is no part of `attend`.
"""

import re

from data.table_files.meanings import SEX_IN_SPANISH

OF_DIAGNOSES = r"dx|diag|hdia|bdia|\b(icd|cie|cim|cid)"
"""What only a column of diagnoses is called."""
SHORT_FOR_DIAGNOSES = r"\b(dp|dr|das|dia|hd|nd) ?\d*\b"
OF_SEX = (
    r"sex|gender|geschlecht|sexo|género|genero|genre|geslacht|sesso|\bk(ø|oe|ö|o)n\b|kj(ø|o)nn|płeć|plec\b|cinsiyet"
    r"|\bпол\b|性別|性别|성별"
)
OF_VOID_ROWS = (
    r"sicherheit|certaint|\bdeleted?\b|\bvoid|cancel|storno|\bstatus\b|\bcode ?type|\bdx ?type|qualifier|verification"
    r"|\bactive\b|anulad|annul"
)
"""Columns beside the codes that may say that a row does not count."""
IN_SPANISH, IN_DUTCH = SEX_IN_SPANISH, r"geslacht"
OF_NATIONAL_IDS = (
    r"|^(nuhsa|cip|cipa|sip|dni|nif|curp|cpf|cns|prontu[aá]rio|kvnr|pesel|bsn|ipp|hn|empi|codice ?fiscale)$"
    r"|^(n[uú]mero ?(de ?)?)?historia( ?cl[ií]nica)?$|^(hospital|unit) ?(no|nr|num|number)$|^n(ro|º|o|um)? ?h\.? ?c\.?$"
    r"|^cip ?(encriptado|anonim\w*)$|expediente|^n(um|umero|º)? ?processo$|^visit ?link$|^jid$|\bhasta ?(no|id)"
    r"|пациент|患者|病案号|환자"
)
"""Numbers of a patient in the health services of Spain, Brazil, Germany, Poland, France and others."""
NAMES = {
    "patient": r"patient|^pt|\bpersons?\b|person ?(id|nr|no|nummer)|\bsubject\b|subject ?id|\bpati?d|^pid$|\bpat\b|mrn"
    r"|\bpat ?(nr|no|num|id)|medical record|\bnhs\b|nhsn|\bhes ?id|\bcpr|\blopnr|pacient|paciente|^rut|nhc|member"
    r"|beneficiar|\bbene\b|versichert|desynpuf|^id$" + OF_NATIONAL_IDS,
    "visit": r"visit|admission ?id|hadm|encounter|stay|fall|case|episod|spell|^vid$|sejour|séjour|aufenthalt"
    r"|^id ?ingreso|nosologico|^(n )?aih$|^nda$|atendimento|^id ?atenci[oó]n",
    "time": r"admi|date|datum|\bdato\b|\bdata\b|fecha|ingreso|aufnahme|\bentr|arriv|time|^day|start|\bfrom|besuch"
    r"|attend|contact|opname|inskriv|indlag|internac",
    "sex": OF_SEX,
    "age": r"\bage|\b(start|end|adm|admission|pat|patient)age\b|^alter|edad|^idade|leeftijd|^eta$",
    "birth_date": r"birth|\bborn|\bdob\b|\bgeb|\bnac|\bnais|\bnasc|\bf[oöø]d|synt|urodz|nascita",
    "position": r"seq|position|rank|^pos|^nr$|order|num|^line|\b(dx|diag\w*) ?(no|nr|line)\b",
    "code": rf"{OF_DIAGNOSES}|{SHORT_FOR_DIAGNOSES}|codes?\b",
    "text": r"note|text|summary|report|brief|informe|epicris",
    "note": r"id$|^id|note|doc|file|report|informe|key|num",
}
FIRST_CHOICE = {
    "patient": r"^(the ?)?(patient|pat|pt|person|subject|member|beneficiary|bene|paciente?|hes|nhs|medical record)s? ?"
    r"(id|nr|no|num|number|nummer|key|identifier|sk)?$|^pid$|^mrn$|^nhc$|^rut$|^cpr|^lopnr",
    "visit": r"spell|stay|hadm|admission|encounter|visit|fall|case|sejour|séjour|aufenthalt|ingreso",
    "time": r"admi|ingreso|aufnahme|\bentr|arriv|start|\bfrom|besuch|visit|encounter|attend|contact|opname|inskriv"
    r"|indlag|internac",
    "age": r"^age$|^alter$|^edad$|^idade$|age ?(at ?)?admi",
    "sex": r"^(sex|gender|geschlecht|sexo|genre)|(patient|pat) ?(sex|gender)",
    "position": r"seq|position|rank",
}
_NO_DAY_OF_A_VISIT = (
    r"birth|\bgeb|\bnac|\bnais|\bnasc|\bfod|\bföd|\bdob\b|death|\bdeces|\bdis\b|disch|entlass|\balta|egreso|sortie"
    r"|export|extract|follow|updat|modif|\blast|created|result|sample|referr?al|booking|\bletter|print|\bdue"
    r"|registered|\b(ed)?(end|out)(date|dt|time|datum)?\b"
)
NOT = {
    "time": _NO_DAY_OF_A_VISIT,
    "time of a note": r"birth|\bgeb|\bnac|\bnais|\bnasc|\bdob\b|death|\bdeces|export|extract|print|updat|modif",
    "patient": r"name|nombre|\bnom$|apellido|surname|\bdob|birth|\bgeb|date|datum|fecha|\bsex|gender|\bage|\balter\b"
    r"|edad|\bzip|\bplz|postal|city|\bstate|status|type|group|class|country|phone|room|\bward|(?<!medical )record|path"
    r"|consultant|doctor|physician|personnel|staff|nurse",
    "birth_date": r"mother|father|baby|child|partner|weight|gewicht|peso|place|ort\b|lugar|countr|pa[ií]s|order|number",
    "age": r"death|mother|father|baby|onset|diagnos|\b(months?|days?|weeks?)\b",
    "sex": r"baby|mother|father|partner|doctor|physician",
    "position": r"child|order ?id|visit|number of",
    "code": r"death|defun|morte\b|[oó]bito|famil|father|mother|exclu|suspe|verdacht|version"
    r"|ccs|\bdrg\b|\byears?\b|\bcosts?\b|\bdays\b|\bcount\b|\bcharges?\b|\bpoa\d*\b|\bdept|\bsource\b|hcpcs"
    r"|post ?code|postal|^(?!.*(dx|diag|icd)).*(ward|room|unit|zip|plz)",
}
RATHER_NOT = {"code": r"\badm(i|t)|\breferr?al|presenting|provisional|working|\bingreso|aufnahme|einweis|entr[eé]e"}
"""Names that a column of the kind has only where there is no other."""
OF_OTHER_CODES = rf"^(?!.*({OF_DIAGNOSES})).*(\batc\b|drug|medic|proc|post|clinic|servic|special|depart)"
"""Columns of codes that hardly are of diagnoses, where there are others."""
OF_PRINCIPAL = r"princ|primary|\bmain|haupt|\bhdia|\b(hd|dp)\b|hoofd|\bpdx|prim[aä]r"
OF_SECONDARY = r"second|neben|\bbdia|\b(nd|das)\b|\bother|comorb|assoc|neven|\bsdx"
"""Columns of a visit's first diagnosis, and of those behind it."""
OF_NO_DAYS = r"type|source|\bid\b|status|\bin ?hospital|length|\blos\b|year|month|hour"
"""Numbers beside the times of visits that are no days."""
OF_AGE_UNITS = (
    r"\b(age|edad|idade|alter|leeftijd)s?( ?in)? ?(units?|uom|types?|tipo|code?|clave|cve|einheit|eenheid|unidade?)\b"
    r"|\b(units?|unit[eé]s?|unidade?s?|uom|code?|clave|cve|tipo|type|einheit|eenheid)"
    r"( ?(of|de|d|da|la|del|der))* ?(age|edad|idade|alter|leeftijd)\b"
)
"""Columns that say whether an age beside them counts years, months or days."""
OF_GROUPS = r"\b(group|grp|band|cat|category|class|range|gruppe|klasse|grupo)|age(group|grp|band|cat|range)|altersgr"
"""Ages by number of a group; a range (60-69) says what it is."""


_EAST_ASIAN = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
_IN_ANOTHER_SCRIPT = re.compile(
    rf"(?:(?<={_EAST_ASIAN})|(?<={_EAST_ASIAN}\d)|(?<={_EAST_ASIAN}\d\d))(?=[a-z])|(?<=[a-z])(?={_EAST_ASIAN})"
)


def words(name: str) -> str:
    """Where letters and characters of East Asia meet, a word ends: `主病名ICD10`."""
    return " ".join(re.findall(r"[^\W_]+", _IN_ANOTHER_SCRIPT.sub(" ", name.lower())))


def is_called(name: str, pattern: str) -> bool:
    return re.search(pattern, words(name)) is not None


def could_be(name: str, kind: str) -> bool:
    """Whether nothing in its name says that a column is none of `kind`."""
    return kind not in NOT or not is_called(name, NOT[kind])
