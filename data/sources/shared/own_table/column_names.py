"""What columns are called in hospitals' tables, in several languages: the names of each kind of column, those that
decide where several would do, and those that a column of the kind has not.

A name is read as its words: `att_date`, `att-date` and `Att Date` are `att date`. Patterns that begin with `\\b` fit
where a word begins, so that `end` is no part of `attend`. A name also fits in plain letters: `Věk` and `vek`.
"""

import functools
import re
import unicodedata

from data.table_files.meanings import SEX_IN_SPANISH

_IN_PLAIN = str.maketrans({"ł": "l", "đ": "d", "ø": "o", "ı": "i", "ß": "ss", "æ": "ae", "œ": "oe"})


def _stems(*lines: str) -> str:
    """`|` and a pattern of words that begin so, in plain letters and with ` ?` where `_` stands."""
    return rf"|\b({'|'.join(' '.join(lines).split()).replace('_', ' ?')})"


# Polish, Czech and Slovak; Hungarian, Romanian and Turkish; Croatian, Serbian and Slovenian; Finnish and the Baltic
# languages, Norwegian and Swedish; Italian and Portuguese; Greek, Russian and Ukrainian.
_BIRTH = _stems(
    "urodz naroz naroden dat_nar szulet naster dogum roden rodjen rojen syntym sunni gimim dzimsan fodels nascit",
    "nascim γεννησ рожд народж",
)
_SEX = _stems("plec pohlav sukupuol lyti dzimum φυλο стать")
_SHORT_FOR_SEX = _stems("neme?\\b spol\\b pol\\b sugu\\b пол\\b")
_PATIENT = _stems(
    "pacjent pacijent pasient paziente patsient potila bolesnik bolnik beteg paciens ασθεν пациент пацієнт больно"
)
_AGE = _stems(
    "wiek veku?\\b eletkor kor\\b varsta yasi?\\b starost ika\\b vanus amziu vecum alder\\b eta\\b ηλικ возраст вік\\b"
)
_DISCHARGE = _stems(
    "wypis propust prepust elbocsat tavoz externar taburc cikis otpust odpust lahto poistu loppu isvyk",
    "izrakst utskr udskr separat dimiss uscita saida salida ontslag einddat εξιτ εξοδ выпис выбы випис konec koniec",
    "zakoncz ukonc vege veg\\b kraj\\b bitis slut",
)
_DEATH = _stems(
    "zgon umrti smrt uhyn halal deces olum preminuc kuol surm mirt navesbasd dodsd decess obit morte\\b θανατ смерт"
)
_ADMISSION = _stems(
    "debut atenci przyj prij internar felvet bekul yatis basvur giris primit prijam prijem sprejem tulop saapu alku",
    "saabu gulim atvyk inlagg innlegg inndato ricover ingress accettaz εισαγωγ εισοδ поступ госпит надход",
)
_DAY = _stems("tarih pvm paivamaar kuupaev ημερομην дата dat\\b")

OF_DIAGNOSES = (
    r"dx|diag|hdia|bdia|\b(icd|cie|cim|cid)"
    + _stems("mkn mkb bno rhk\\b tlk\\b rozpozn tani\\b tanisi διαγν мкб мкх диагн діагн")
    + r"|診断|诊断|病名|진단|상병"
)
"""What only a column of diagnoses is called."""
SHORT_FOR_DIAGNOSES = r"\b(dp|dr|das|dia|hd|nd) ?\d*\b"
OF_SEX_BY_NUMBER = (
    r"sex|gender|geschlecht|sexo|género|genero|genre|geslacht|sesso|\bk(ø|oe|ö|o)n\b|kj(ø|o)nn|płeć|plec\b|cinsiyet"
    r"|性別|性别|성별" + _SEX
)
"""What a column of sexes as ISO 5218 numbers them (1, 2) is called."""
OF_SEX = OF_SEX_BY_NUMBER + _SHORT_FOR_SEX
OF_VOID_ROWS = (
    r"sicherheit|certaint|\bdeleted?\b|\bvoid|cancel|storno|\bstatus\b|\bcode ?type|\bdx ?type|qualifier|verification"
    r"|\bactive\b|anulad|annul|\b(dx|diag\w*) ?(prefix|type)\b"
)
"""Columns beside the codes that may say that a row does not count."""
IN_SPANISH, IN_DUTCH = SEX_IN_SPANISH, r"geslacht"
OF_NATIONAL_IDS = (
    r"|^(nuhsa|cip|cipa|sip|dni|nif|curp|cpf|cns|prontu[aá]rio|kvnr|pesel|bsn|(no? ?)?ipp|hn|empi|codice ?fiscale)$"
    r"|^(n[uú]mero ?(de ?)?)?historia( ?cl[ií]nica)?$|^(hospital|unit) ?(no|nr|num|number)$|^n(ro|º|o|um)? ?h\.? ?c\.?$"
    r"|^cip ?(encriptado|anonim\w*)$|expediente|^n(um|umero|º)? ?processo$|^visit ?link$|^jid$|\bhasta ?(no|id)"
    r"|^ur ?(no|nr|num|number)$|^urn$|^hcn$|^(taj|amka|αμκα|hetu|jmbg|mbo|rc|cnp|pnr)$|患者|病案号|환자"
    r"|^((n|nº|no|nr|num|numero|id|codice|codigo|cod) ?(do |de )?)?utente$"
    + _PATIENT
    + _stems(
        "rodne_c cislo_poj tc_kimlik henkilotun isikukood asmens_kod personn?umm personnr fodselsn assistit doente"
    )
)
"""Numbers of a patient in the health services of Spain, Brazil, Germany, Poland, France and others."""
NAMES = {
    "patient": r"patient|^pt|\bpersons?\b|person ?(id|nr|no|nummer)|\bsubject\b|subject ?id|\bpati?d|^pid$|\bpat\b|mrn"
    r"|\bpat ?(nr|no|num|id)|medical record|\bnhs\b|nhsn|\bhes ?id|\bcpr|\blopnr|pacient|paciente|^rut|nhc|member"
    r"|beneficiar|\bbene\b|versichert|desynpuf|^id$" + OF_NATIONAL_IDS,
    "visit": r"visit|admission ?id|hadm|encounter|stay|fall|case|episod|spell|^vid$|sejour|séjour|aufenthalt"
    r"|^id ?ingreso|nosologico|^(n )?aih$|^nda$|atendimento|^id ?atenci[oó]n|住院号|入院番号"
    r"|^((no? ?)?(csn|fin|har|vtf|rss|rsa|iep))$"
    + _stems(
        "hospitali[sz] pobyt pripad ksieg eset kezel spitaliz protokol epizod hoitojak opphold indlag indlaeg",
        "vardtillf ricover internac internam госпит случа история_бол",
    ),
    "time": r"admi|date|datum|\bdato\b|\bdata\b|fecha|ingreso|aufnahme|\bentr|arriv|time|^day|start|\bfrom|besuch"
    r"|attend|contact|opname|inskriv|indl[aæ]|indlaeg|internac|入院|就诊|来院|受診|입원|내원" + _ADMISSION + _DAY,
    "sex": OF_SEX,
    "age": r"\bage|\b(start|end|adm|admission|pat|patient)age\b|^alter|edad|^idade|leeftijd|年龄|年齢|나이|연령" + _AGE,
    "birth_date": r"birth|\bborn|\bdob\b|\bgeb|\bnac|\bnais|\bnasc|\bf[oöø]d|生年|出生|생년" + _BIRTH,
    "position": r"seq|position|rank|^pos|^nr$|order|num|^line|\b(dx|diag\w*) ?(no|nr|line)\b|\boccurr"
    r"|\bporadi|\bsorszam",
    "code": rf"{OF_DIAGNOSES}|{SHORT_FOR_DIAGNOSES}|codes?\b",
    "text": r"note|text|summary|report|brief|informe|epi[ck]ri|zprav|zaros|lelet|anamne|эпикриз|выписка",
    "note": r"(?<!c)id$|^id|note|doc|file|report|informe|key|num",
}
FIRST_CHOICE = {
    "patient": r"^(the ?)?(patient|pat|pt|person|subject|member|beneficiary|bene|paciente?|hes|nhs|medical record)s? ?"
    r"(id|nr|no|num|number|nummer|key|identifier|sk)?$|^pid$|^mrn$|^nhc$|^rut$|^cpr|^lopnr" + _PATIENT,
    "visit": r"spell|stay|hadm|admission|encounter|visit|fall|case|sejour|séjour|aufenthalt|ingreso",
    "time": r"admi|ingreso|aufnahme|\bentr|arriv|start|\bfrom|besuch|visit|encounter|attend|contact|opname|inskriv"
    r"|indl[aæ]|indlaeg|internac|入院|입원" + _ADMISSION,
    "age": r"\bage\b|^alter$|edad|idade|leeftijd|^[åa]lder$|年龄|年齢|나이|연령"
    + _stems("wiek veku?\\b eletkor varsta yasi?\\b starost vanus amziu vecum ηλικ возраст вік\\b"),
    "sex": r"^(sex|gender|geschlecht|sexo|genre)|(patient|pat) ?(sex|gender)",
    "position": r"seq|position|rank",
}
_NO_DAY_OF_A_VISIT = (
    r"birth|\bgeb|\bnac|\bnais|\bnasc|\bfod|\bföd|\bdob\b|death|\bdeces|\bdis\b|disch|entlass|\balta|egreso|sortie"
    r"|export|extract|follow|updat|modif|\blast|created|result|sample|referr?al|booking|\bletter|print|\bdue"
    r"|registered|\b(ed)?(end|out)(date|dt|time|datum)?\b|\bfin\b|生年|出生|생년|退院|出院|퇴원|死亡|사망"
    + _BIRTH
    + _DISCHARGE
    + _DEATH
)
NOT = {
    "time": _NO_DAY_OF_A_VISIT,
    "time of a note": r"birth|\bgeb|\bnac|\bnais|\bnasc|\bdob\b|death|\bdeces|export|extract|print|updat|modif"
    r"|生年|出生|생년|死亡|사망" + _BIRTH + _DEATH,
    "patient": r"name|nombre|\bnom$|apellido|surname|\bdob|birth|\bgeb|date|datum|fecha|\bsex|gender|\bage|\balter\b"
    r"|\bdat[aoe]\b|edad|\bzip|\bplz|postal|city|\bstate|status|type|group|class|country|phone|room|\bward"
    r"|(?<!medical )record|path"
    r"|consultant|doctor|physician|personnel|staff|nurse|inseriment|modific|operator|\blogin|性別|性别|성별|年龄|年齢|나이|생년|生年|出生|姓名|氏名|이름|성명"
    + "".join((_BIRTH, OF_SEX, _AGE, _DEATH, _DAY))
    + _stems(
        "imie nazwisk jmeno prijmen meno\\b nev\\b nume\\b prenum soyad ad[iı]?\\b ime\\b prezim priimek nimi vards",
        "fornamn efternamn cognome nome\\b apelido sobrenome prenom ονομα επωνυμ фамил имя отчеств фио lekar orvos",
        "hekim doktor laakar medico arzt врач лікар adres mesto miasto obec psc varos oras город tel\\b",
    ),
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
OF_PRINCIPAL = r"princ|primary|\bmain|haupt|\bhdia|\b(hd|dp)\b|hoofd|\bpdx|prim[aä]r|主" + _stems(
    "zasadn glown hlavn fo_diag ana_tan glavn osnovn paa_?diag huvud hoved κυρι основн"
)
OF_SECONDARY = r"second|neben|\bbdia|\b(nd|das)\b|\bother|\baddit|comorb|assoc|neven|\bsdx|副|其他" + _stems(
    "wspol dodatk vedlej vedlaj kiser tarsult ek_tan prated sporedn sivu bi_?diag δευτερ сопут супут осложн"
)
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
    lower = unicodedata.normalize("NFC", name.lower().replace("i\u0307", "i"))  # what becomes of a Turkish capital i
    return " ".join(re.findall(r"[^\W_]+", _IN_ANOTHER_SCRIPT.sub(" ", lower)))


@functools.lru_cache(maxsize=4096)
def _forms(name: str) -> tuple[str, ...]:
    """Its words, and where other letters stand in them also in plain ones."""
    of_name = words(name)
    letters = unicodedata.normalize("NFD", of_name.translate(_IN_PLAIN))
    plain = unicodedata.normalize("NFC", "".join(letter for letter in letters if not unicodedata.combining(letter)))
    return (of_name,) if plain == of_name else (of_name, plain)


def is_called(name: str, pattern: str) -> bool:
    return any(re.search(pattern, form) for form in _forms(name))


def could_be(name: str, kind: str) -> bool:
    """Whether nothing in its name says that a column is none of `kind`."""
    return kind not in NOT or not is_called(name, NOT[kind])
