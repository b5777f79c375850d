"""What `data.prepare` prints of a task: its splits, and where every row went."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from data.cohorts.notes.note_marks import advice
from data.editions.code_list import CodeList
from data.ledger import FEWEST_PATIENTS, LedgerRecord, UnitAccount, UnknownCodeCounts, code_form
from data.task import SPLITS, Task
from data.task_folder.task_info import EventFacts, HiddenCodes, NoteCounts, OptionValue, SplitFileFacts
from mera.system.terminal import plain_console

PRINTED_CODES = 5
MANY_CUT = 0.1
"""Share of the codes that lost digits, above which another edition seems to be meant."""

_RULES = {
    "train": "the codes of train and validation",
    "ontology": "every leaf of the ontology, and the other codes of train and validation",
    "all": "every code of the task, those of test alone included",
    "file": "the list in {file}",
    "source": "the source's own list",
}


def print_summary(task: Task) -> None:
    """Two tables, the number of candidates, and the task's path last."""
    console = plain_console()
    console.print(_split_table(task))
    print_account(task.info, console)
    if task.info["kind"] == "coding" and (sentence := advice(task.info["changed"], _num_notes(task))) is not None:
        console.print(sentence, style="bold", highlight=False)
    is_of_whole_codes = task.info["options"].get("granularity") == "full"
    if is_of_whole_codes and (sentence := edition_advice(task.info)) is not None:
        console.print(sentence, style="bold", highlight=False)
    if "past_notes" in task.info:
        console.print(past_notes_line(task.info["past_notes"]), highlight=False)
    if "events" in task.info:
        console.print(events_line(task.info["events"]), highlight=False)
    for line in option_lines(task.info.get("options", {})):
        console.print(line, highlight=False)
    if "split_file" in task.info:
        console.print(split_file_line(task.info["split_file"]), highlight=False)
    console.print(f"{len(task.codes):,} candidate codes ({task.info['edition']})", highlight=False)
    console.print(book_line(task), highlight=False)
    print_candidates(task, console)
    if "hidden_codes" in task.info:
        console.print(hidden_codes_line(task.info["hidden_codes"]), highlight=False)
    console.print(f"prepared task: {task.path}", soft_wrap=True, highlight=False)


def edition_advice(record: LedgerRecord) -> str | None:
    """What keeps the digits of codes, where many have more than the edition; None where few have."""
    num_cut = record["changed"].get(CodeList.ancestor_change, 0)
    num_read = record["accounting"]["diagnoses"]["read"]
    if num_cut <= MANY_CUT * num_read:
        return None
    return (
        f"{num_cut:,} of {num_read:,} codes lost digits that the edition does not have. Are they of a national one "
        f"(GM, AM, CM ...)? --codes TABLE names its codes, and keeps them (docs/data.md)"
    )


def _num_notes(task: Task) -> int:
    """Those that were read, of which near-copies may be gone since."""
    notes = task.info["accounting"].get("notes")
    return sum(len(rows) for rows in task.splits.values()) if notes is None else notes["read"]


def print_splits(task: Task) -> None:
    """One table, what a sample left out, and the task's path last."""
    console = plain_console()
    console.print(_split_table(task))
    left_out = task.info["sample"]["patients_left_out"]
    console.print(
        f"left out: {left_out['train']:,} patients of train, {left_out['validation']:,} of validation", highlight=False
    )
    console.print(f"prepared task: {task.path}", soft_wrap=True, highlight=False)


def _split_table(task: Task) -> Table:
    table = Table("split", "patients", "examples", "codes per example", title=f"{task.path.name}: {task.info['kind']}")
    for name in SPLITS:
        counts = task.info["counts"][name]
        per_example = f"{counts['targets'] / counts['examples']:.1f}"
        table.add_row(name, f"{counts['patients']:,}", f"{counts['examples']:,}", per_example)
    return table


def book_line(task: Task) -> str:
    """What names the candidates beyond their titles."""
    book = task.info.get("book")
    if book is None:
        return "code book: none; codes are called as the ontology package has it (`mera ontology add` makes one)"
    named = task.terms["code"].n_unique()
    return (
        f"code book: {', '.join(book['sources'])}; {task.terms.height:,} terms for {named:,} of {len(task.codes):,} "
        "candidates"
    )


def hidden_codes_line(hidden: HiddenCodes) -> str:
    """What train and validation do not know of, for the terminal."""
    taken = hidden["diagnoses_taken"]
    return (
        f"hidden codes: {hidden['codes']:,} of the {hidden['of']:,} codes that were training targets stay candidates, "
        f"and train ({taken['train']:,} diagnoses) and validation ({taken['validation']:,}) lost them; test has "
        f"{hidden['test_targets']:,} true codes of these, {hidden['test_targets_new']:,} of them new to the patient"
    )


def option_lines(options: Mapping[str, OptionValue]) -> list[str]:
    """What a user should know of options that were taken, or found out: encodings of files, rules of a paper."""
    lines = []
    encodings, rules = options.get("encodings"), options.get("rules")
    if isinstance(encodings, Mapping):
        lines.append(f"encodings: {', '.join(f'{name} {encoding}' for name, encoding in encodings.items())}")
    if rules is not None:
        lines.append(
            f"notes prepared by the rules of {rules}; the targets are diagnoses alone, where published figures count "
            "procedures too"
        )
    return lines


def split_file_line(facts: SplitFileFacts) -> str:
    """What the published splits say, and what of it the cohort has, for the terminal."""
    listed = ", ".join(
        f"{name} {facts['listed'][name]:,} ({facts['not_in_cohort'][name]:,} not in the cohort)" for name in SPLITS
    )
    other = f"; {facts['rows_of_no_split']:,} rows without an id or of no split" if facts["rows_of_no_split"] else ""
    return (
        f"splits of {', '.join(facts['files'])}: ids of {facts['ids']} by {facts['id_column']}, split by "
        f"{facts['split_column']}: {listed}{other}"
    )


def print_candidates(task: Task, console: Console) -> None:
    """How the candidates were chosen, and what of each split lies outside them."""
    rule = task.candidates_rule
    console.print(f"candidates: {_RULES[rule['name']].format(file=rule.get('file'))}", highlight=False)
    for count, what in (
        (rule.get("repeated_in_file"), "repeat a candidate"),
        (rule.get("changed_in_file"), "are retired or unknown in full: their ancestor is the candidate"),
    ):
        if count:
            console.print(f"{count:,} entries of the file {what}", highlight=False)
    for name in SPLITS:
        outside = task.outside_sentence(name)
        if outside is not None:
            console.print(outside, highlight=False)
    if rule.get("training_examples_dropped"):
        console.print(
            f"train: {rule['training_examples_dropped']:,} examples without a candidate to predict were dropped",
            highlight=False,
        )


def print_account(record: LedgerRecord, console: Console) -> None:
    """Where every row went, what could not be read and what was changed."""
    console.print(accounting_table(record["accounting"]))
    for column, unreadable in record.get("unreadable", {}).items():
        console.print(
            f"{unreadable['values']:,} values of {column} are not {unreadable['meaning']}; they look like "
            f"{', '.join(unreadable['forms'])}",
            highlight=False,
            markup=False,
        )
    unknown = unknown_codes_line(record)
    if unknown is not None:
        console.print(unknown, highlight=False, soft_wrap=True)
    for event, count in record["changed"].items():
        console.print(f"{count:,} times: {event}", highlight=False)


def unknown_codes_line(record: LedgerRecord) -> str | None:
    """How many codes no edition knows and the most frequent ones that may be listed; None where there is none."""
    listed = record.get("unknown_codes", {})
    of_listed: UnknownCodeCounts = {"distinct": len(listed), "rows": sum(listed.values())}
    counts = record.get("unknown_code_counts", of_listed)
    if not counts["distinct"]:
        return None
    line = f"{counts['distinct']:,} codes that the edition does not know, in {counts['rows']:,} rows"
    codes = [f"{code} ({rows:,})" for code, rows in listed.items() if code_form(code) == code]
    most = ", ".join(codes[:PRINTED_CODES])
    if not most:
        return f"{line}; none has the form of a code and {FEWEST_PATIENTS} patients, so none is listed"
    return f"{line}; the most frequent: {most}"


def past_notes_line(counts: NoteCounts) -> str:
    """How many past visits have a note, for the terminal."""
    return (
        f"past notes: {counts['visits_with_a_note']:,} visits before a last one have a note "
        f"({counts['visits_with_several_notes']:,} put together from several), "
        f"{counts['visits_without_a_note']:,} have none"
    )


def events_line(events: EventFacts) -> str:
    """How many events the histories hold, for the terminal."""
    numbers = ", ".join(f"{count:,} of kind {kind}" for kind, count in events["vocabulary"].items())
    return (
        f"events: {numbers}, each in the histories of {events['min_patients']:,} training patients or more; "
        f"{events['visits_with_events']:,} visits before a last one have some, "
        f"{events['visits_without_events']:,} have none"
    )


def accounting_table(accounting: Mapping[str, UnitAccount]) -> Table:
    """Unit by unit, where every row went."""
    table = Table("unit", "read", "used", "dropped because", title="What was used")
    for unit, account in accounting.items():
        reasons = "\n".join(f"{count:,} {reason}" for reason, count in account["dropped"].items())
        added = "".join(f"\n+ {count:,} {reason}" for reason, count in account["added"].items())
        table.add_row(unit, f"{account['read']:,}{added}", f"{account['used']:,}", reasons or "-")
    return table


def percent(share: float | None) -> str:
    """`12.3%`; `-` where there is nothing that could have one. Of tables in the terminal, and of the model card; the
    report's numbers (`mera.report.text.percent`) have no sign behind them, a true minus and a dash."""
    return "-" if share is None else f"{share:.1%}"
