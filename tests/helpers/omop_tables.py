"""An OMOP export as CDM 5.4 describes it: small tables, whose concepts are made up."""

ICD10, ICD9, SNOMED = "45000000", "44000000", "300000"
CONCEPTS = [
    [
        "concept_id",
        "concept_name",
        "domain_id",
        "vocabulary_id",
        "concept_class_id",
        "standard_concept",
        "concept_code",
    ],
    ["45001", "Essential hypertension", "Condition", "ICD10CM", "3-char billing code", "", "I10"],
    ["45002", "Heart failure, unspecified", "Condition", "ICD10CM", "4-char billing code", "", "I50.9"],
    ["45003", "Type 2 diabetes", "Condition", "ICD10CM", "4-char billing code", "", "E11.9"],
    ["45004", "Acute kidney failure", "Condition", "ICD10CM", "4-char billing code", "", "N17.9"],
    ["45005", "Acute kidney failure, other", "Condition", "ICD10CM", "4-char billing code", "", "N17.8"],
    ["46001", "Hypertension (WHO)", "Condition", "ICD10", "ICD10 code", "", "I10"],
    ["46002", "Heart failure (WHO)", "Condition", "ICD10", "ICD10 code", "", "I50.9"],
    ["44001", "Hypertension", "Condition", "ICD9CM", "4-dig billing code", "", "401.9"],
    ["31001", "Essential hypertension", "Condition", "SNOMED", "Disorder", "S", "59621000"],
    ["31004", "Acute kidney injury", "Condition", "SNOMED", "Disorder", "S", "14669001"],
    ["31005", "Unheard of", "Condition", "SNOMED", "Disorder", "S", "1"],
    ["31006", "Of two that nobody used", "Condition", "SNOMED", "Disorder", "S", "2"],
    ["45006", "One of the two", "Condition", "ICD10CM", "4-char billing code", "", "J18.9"],
    ["45007", "The other", "Condition", "ICD10CM", "4-char billing code", "", "J18.8"],
]
RELATIONSHIPS = [
    ["concept_id_1", "concept_id_2", "relationship_id", "valid_start_date", "invalid_reason"],
    ["45001", "31001", "Maps to", "19700101", ""],
    ["45004", "31004", "Maps to", "19700101", ""],
    ["45005", "31004", "Maps to", "19700101", ""],
    ["45002", "31005", "Maps to", "19700101", "D"],
    ["31005", "45002", "Mapped from", "19700101", ""],
    ["45006", "31006", "Maps to", "19700101", ""],
    ["45007", "31006", "Maps to", "19700101", ""],
]
VISIT_HEADER = ["visit_occurrence_id", "person_id", "visit_concept_id", "visit_start_date", "visit_start_datetime"]
CONDITION_HEADER = [
    *("condition_occurrence_id", "person_id", "condition_concept_id", "condition_start_date", "visit_occurrence_id"),
    *("condition_source_value", "condition_source_concept_id", "condition_status_concept_id"),
]
NOTE_HEADER = ["note_id", "person_id", "note_date", "note_datetime", "note_title", "note_text", "visit_occurrence_id"]


def condition(number, person, visit, source="0", standard="0", value="", status="0", date="2020-01-01"):
    return [str(number), str(person), standard, date, str(visit), value, source, status]


def tables(people=12):
    """Table -> rows with a header: two visits each of `people`, of the ids n1 and n2."""
    person = [["person_id", "gender_concept_id", "year_of_birth", "month_of_birth", "day_of_birth"]]
    visits, conditions, notes = [VISIT_HEADER], [CONDITION_HEADER], [NOTE_HEADER]
    for number in range(1, people + 1):
        person.append([str(number), "8532" if number % 2 else "8507", "1950", "6", "15"])
        for visit in (1, 2):
            name = f"{number}{visit}"
            visits.append([name, str(number), "9201", f"2020-0{visit}-10", f"2020-0{visit}-10 08:30:00"])
            conditions.append(condition(f"{name}0", number, name, source="45001", standard="31001"))
            conditions.append(condition(f"{name}1", number, name, source="45002", status="32903"))
            text = f"note of {name} {'abcdefghijkl'[number - 1] * 6} said so"
            notes.append([name, str(number), f"2020-0{visit}-11", "", "Discharge", text, name])
    return {
        "person": person,
        "visit_occurrence": visits,
        "condition_occurrence": conditions,
        "concept": CONCEPTS,
        "note": notes,
    }


def event_tables(people=12):
    """Procedures, drugs and measurements of the visits of `tables`: those of the last visit, and those of after the
    next visit began, say canary. With the concepts that name them, and the class above one drug."""
    procedures = [
        ["procedure_occurrence_id", "person_id", "procedure_concept_id", "procedure_date", "visit_occurrence_id"]
    ]
    procedures[0].append("procedure_source_value")
    drugs = [["drug_exposure_id", "person_id", "drug_concept_id", "drug_exposure_start_date", "visit_occurrence_id"]]
    drugs[0].append("drug_source_value")
    labs = [["measurement_id", "person_id", "measurement_concept_id", "measurement_date", "visit_occurrence_id"]]
    labs[0] += ["value_as_number", "value_as_concept_id", "range_low", "range_high"]
    for number in range(1, people + 1):
        first, last = f"{number}1", f"{number}2"
        about = [str(number), str(number)]
        in_time, late, at_last = "2020-01-11", "2020-02-11", "2020-02-12"
        procedures += [
            [*about, "71001", in_time, first, "93000"],
            [*about, "0", in_time, first, "Local Bypass"],
            [*about, "0", in_time, first, ""],
            [*about, "0", at_last, last, "canary"],
            [*about, "0", late, first, "canary"],
            [*about, "0", in_time, "", "canary"],
        ]
        drugs += [
            [*about, "72001", in_time, first, ""],
            [*about, "72002", in_time, first, ""],
            [*about, "0", in_time, first, "Lasix 40 mg"],
            [*about, "0", at_last, last, "canarycillin"],
        ]
        labs += [
            [*about, "73001", in_time, first, "3.1", "", "0.5", "1.2"],
            [*about, "73001", in_time, first, "1.0", "", "0.5", "1.2"],
            [*about, "73002", in_time, first, "", "4267416", "", ""],
            [*about, "73002", in_time, first, "9", "", "", ""],
            [*about, "73003", at_last, last, "3.1", "", "0.5", "1.2"],
        ]
    concepts = [
        ["71001", "Electrocardiogram", "Procedure", "CPT4", "CPT4", "S", "93000"],
        ["72001", "furosemide 40 MG Oral Tablet", "Drug", "RxNorm", "Clinical Drug", "S", "313988"],
        ["72002", "metoprolol tartrate 25 MG Oral Tablet", "Drug", "RxNorm", "Clinical Drug", "S", "866511"],
        ["72901", "Sulfonamides, plain", "Drug", "ATC", "ATC 4th", "C", "C03CA"],
        ["73001", "Creatinine", "Measurement", "LOINC", "Lab Test", "S", "2160-0"],
        ["73002", "Sodium", "Measurement", "LOINC", "Lab Test", "S", "2951-2"],
        ["73003", "Canary", "Measurement", "LOINC", "Lab Test", "S", "1-1"],
    ]
    return {
        "concept": [*CONCEPTS, *concepts],
        "concept_ancestor": [["ancestor_concept_id", "descendant_concept_id"], ["72901", "72001"], ["72001", "72001"]],
        "procedure_occurrence": procedures,
        "drug_exposure": drugs,
        "measurement": labs,
    }
