"""The text that `mera ontology` prints."""

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console

from data.codes.book.add import Addition
from data.codes.book.book import RELATION_KINDS, TERM_KINDS, CodeBook
from data.codes.book.display.code_facts import CodeFacts, Counterpart, NamedNode, Note, Term

_KIND_TITLES = {
    "inclusion": "inclusion terms",
    "index": "index terms",
    "external": "index of external causes",
    "neoplasm": "table of neoplasms",
    "drug": "table of drugs",
    "name": "names of other vocabularies",
    "own": "your own terms",
}
_NOTE_TITLES = {
    "includes": "includes",
    "excludes1": "excludes (never together)",
    "excludes2": "excludes (may stand together)",
    "code_first": "code first",
    "use_additional": "use additional code",
    "code_also": "code also",
    "seventh_character": "7th character",
}
SYSTEM_TITLES = {"icd9cm": "ICD-9-CM", "icd10cm": "ICD-10-CM", "icd10who": "ICD-10 of the WHO"}


def print_books(books: Iterable[CodeBook], console: Console) -> None:
    """One paragraph for each book."""
    for book in books:
        _say(console, f"{book.path}")
        _say(console, f"  {book.record['edition']}")
        for source in book.record["sources"]:
            counts = f"{source['terms']:,} terms, {source['relations']:,} relations"
            _say(console, f"  {source['kind']}: {counts} ({source['file']}, sha256 {source['sha256'][:12]})")
        _say(console, f"  {_totals(book)}")


def print_addition(addition: Addition, console: Console) -> None:
    """What a file added, what of it was left out and why."""
    part, book = addition.part, addition.book
    _say(
        console, f"{part.file.file_name}: {part.kind}, {part.terms.height:,} terms, {part.relations.height:,} relations"
    )
    if addition.replaced is not None:
        _say(console, f"  in the place of {addition.replaced}")
    _print_counts("left out", part.dropped, console)
    _print_counts("changed", part.changed, console)
    _say(console, f"{book.path}: {_totals(book)}")


def print_code(facts: CodeFacts, book: CodeBook | None, limit: int, console: Console) -> None:
    """Everything known of a code; lists longer than `limit` end with how many more there are."""
    if facts.replaced is not None:
        _say(console, f"{facts.replaced.upper()} is retired, or longer than codes of this edition; the code above it:")
    _say(console, f"{facts.code.node}  {facts.code.title}")
    _say(console, facts.edition)
    _say(console, f"code book: {book.path}" if book is not None else "no code book: this is what the packages hold")
    _section("path", _indented(facts.path), console, None)
    _section("codes below", map(_line, facts.below), console, limit)
    for kind in TERM_KINDS:
        _section(_KIND_TITLES[kind], _terms(term for term in facts.terms if term.kind == kind), console, limit)
    _section("notes", _notes(facts.notes, with_node=False), console, limit)
    _section("notes of what stands above it", _notes(facts.inherited, with_node=True), console, limit)
    _section("neighbours", map(_line, facts.neighbours), console, limit)
    _section("other editions", (line for each in facts.counterparts for line in _counterpart(each)), console, None)


def _section(title: str, lines: Iterable[str], console: Console, limit: int | None) -> None:
    every = list(lines)
    if not every:
        return
    shown = every if limit is None else every[:limit]
    _say(console, f"\n{title}" + (f" ({len(every):,})" if limit is not None else ""))
    for line in shown:
        _say(console, f"  {line}")
    if len(shown) < len(every):
        _say(console, f"  ... and {len(every) - len(shown):,} more (--limit {len(every)})")


def _indented(path: Iterable[NamedNode]) -> Iterator[str]:
    for depth, node in enumerate(path):
        yield "  " * depth + _line(node)


def _line(node: NamedNode) -> str:
    return f"{node.node}  {node.title}"


def _terms(terms: Iterable[Term]) -> list[str]:
    """English first, then the shortest, which are the plainest."""
    in_order = sorted(terms, key=lambda each: (each.language != "en", each.language, len(each.term)))
    return [each.term if each.language == "en" else f"{each.term} [{each.language}]" for each in in_order]


def _notes(notes: Iterable[Note], with_node: bool) -> Iterator[str]:
    order = {kind: number for number, kind in enumerate(RELATION_KINDS)}
    listed = list(notes)
    if not with_node:
        listed.sort(key=lambda note: order[note.kind])
    for note in listed:
        yield (f"{note.node} " if with_node else "") + f"{_NOTE_TITLES[note.kind]}: {note.text}"


def _counterpart(counterpart: Counterpart) -> Iterator[str]:
    title = SYSTEM_TITLES[counterpart.system]
    for node in counterpart.nodes:
        yield f"{title}: {_line(node)} ({counterpart.how})"
    if not counterpart.nodes:
        yield f"{title}: none ({counterpart.how})"


def _print_counts(title: str, counts: Mapping[str, int], console: Console) -> None:
    listed = {reason: count for reason, count in counts.items() if count}
    if listed:
        _say(console, f"  {title}:")
    for reason, count in sorted(listed.items(), key=lambda each: -each[1]):
        _say(console, f"    {count:>7,}  {reason}")


def _totals(book: CodeBook) -> str:
    by_language = book.terms.group_by("language").len().sort("language")
    languages = ", ".join(f"{language} {count:,}" for language, count in by_language.iter_rows())
    terms = f"{book.terms.height:,} terms ({languages or 'none'}) of {book.terms['code'].n_unique():,} codes"
    text = f"{terms}, {book.relations.height:,} relations"
    if book.translations.height:
        text += f", {book.translations.height:,} names in two languages"
    count = book.record["contradictions"]
    return text + (f"; {count:,} terms that sources give to codes of different categories" if count else "")


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
