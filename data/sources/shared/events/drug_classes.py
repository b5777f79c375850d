"""The class of a drug as an order names it: `Metoprolol Succinate XL 25 mg` and `metoprolol tartrate` are metoprolol.

The rule: of a name in lower case, what stands before the first strength, bracket or comma; without words of form,
route and packing; without the salt behind an ingredient (`heparin sodium`), unless the ingredient is itself a mineral
(`sodium chloride`, `magnesium sulfate`). At most two words stay, joined ingredients (`piperacillin-tazobactam`) are
one. It reads no list of drugs, so that it works on every hospital's names; brands are not put to their substances.
"""

import functools
import re
import unicodedata

_FORMS = (
    "tablet tablets tab tabs capsule capsules cap caps injection injectable inj solution soln sol suspension "
    "susp syrup elixir liquid liqd cream ointment oint gel lotion patch patches spray drops drop gtt ophthalmic "
    "ophth otic nasal oral po iv ivpb im sq sc subcut subcutaneous intravenous intramuscular rectal topical top "
    "vaginal sublingual sl inhalation inhaler inhal inh nebulizer neb nebs nebu aerosol hfa mdi diskus powder "
    "pack packet packets vial vials bag syringe syr ampule amp carpuject premix premixed flush infusion drip "
    "desensitization extended release delayed immediate modified sustained ec er xr xl sr cr dr la odt chewable "
    "chew enteric coated adult pediatric peds child infant neonatal human recombinant nf pf preservative free "
    "concentrate conc unit dose mini plastic container per tube enema suppository supp kit soluble base usp "
    "generic name bulk the for and or in with of to a protocol sliding scale bolus std standard lock cvl picc "
    "crrt hickman disintegrating viscous jelly ir ss ds"
)
_SALTS = (
    "hydrochloride hcl hydrobromide hbr sodium potassium calcium magnesium sulfate sulphate phosphate acetate "
    "tartrate succinate maleate fumarate citrate gluconate chloride bromide nitrate mesylate besylate tosylate "
    "lactate carbonate bicarbonate bitartrate dihydrate monohydrate trihydrate monohydrat mononitrate dinitrate "
    "disodium sesquihydrate propionate furoate valerate palmitate decanoate pamoate stearate ethylsuccinate "
    "axetil proxetil medoxomil etexilate mofetil hyclate anhydrous micronized hemihydrate oxalate bisulfate na "
    "sod succ chl nap"
)
_MINERALS = (
    "sodium potassium calcium magnesium ferrous ferric iron zinc aluminum aluminium bismuth silver selenium "
    "lithium ammonium barium copper chromium manganese"
)
_FORM_WORDS, _SALT_WORDS, _MINERAL_WORDS = (frozenset(words.split()) for words in (_FORMS, _SALTS, _MINERALS))
_MOST_WORDS = 2
ATC = r"([A-Z]\d\d[A-Z]{2})(?:\d\d)?"
"""A code of the ATC's fourth level, which is the class, or of the fifth."""


@functools.lru_cache(maxsize=100_000)
def drug_class(name: str) -> str:
    """The class of the drug called `name`; empty where the name has no word that could be one."""
    text = unicodedata.normalize("NFC", name).lower().replace("*nf*", " ").strip()  # an accent apart would end a word
    text = re.sub(r"^\d.*? : ", "", text)  # `5 ML VIAL : DILTIAZEM HCL`
    text = re.sub(r"^[\d.,]+\s*(?:%|(?:ml|mg|mcg|g|l|units?)\b)?\s*(?:[-x]\s*\b)?", "", text)
    vitamin = re.match(
        r"vit(?:amin)?\b[\s.]*([a-z])(\d{1,2}\b|(?<=b)[\s-]\d{1,2}\b(?!\s*(?:[mµu]?c?g|ml|i?u|units?)\b))?", text
    )
    if vitamin is not None:  # the letter is its name, of a B with its number
        return f"vitamin {vitamin[1]}{(vitamin[2] or '').strip(' -')}"
    text = re.split(r"[(\[{,;:@*=+]|\s-\s|\d", text, maxsplit=1)[0] or text
    words = [word for word in re.findall(r"[^\W\d_]+(?:[-'/][^\W\d_]+)*", text) if word not in _FORM_WORDS]
    words = [word for word in words if len(word) > 1]
    if not words or words[0] == "insulin":
        return "".join(words[:1])
    if words[0] not in _MINERAL_WORDS:
        words = [words[0], *(word for word in words[1:] if word not in _SALT_WORDS)]
    return " ".join(words[:_MOST_WORDS])
