"""What the columns of a hospital's table are taken for."""

from dataclasses import dataclass, field

from data.sources.shared.events.options import KINDS
from data.sources.shared.own_table.table_columns import parts_of
from data.table_files.csv_layout import as_name

COLUMNS = ("patient", "visit", "time", "code", "code_version", "position", "sex", "age", "birth_date", "text")


@dataclass(kw_only=True, slots=True)
class TableGuess:
    """Columns by what they are taken for; None: the table has none, or none that is known by its values."""

    patient: str | None = None
    visit: str | None = None
    time: str | None = None
    code: list[str] = field(default_factory=list)
    code_version: str | None = None
    """The user's own word; never guessed."""
    position: str | None = None
    sex: str | None = None
    sex_values: str | None = None
    """As --sex-values takes it, where the letters of the sex alone do not say it."""
    age: str | None = None
    birth_date: str | None = None
    """Where there is no age; not of notes that are coded each for itself, whose new ones have no time."""
    text: str | None = None
    procedures: list[str] = field(default_factory=list)
    """The user's own words; never guessed, and neither are drugs and labs."""
    drugs: list[str] = field(default_factory=list)
    labs: list[str] = field(default_factory=list)
    keep: list[str] = field(default_factory=list)
    """The user's own words."""
    event_separator: str | None = None
    code_separator: str | None = None
    code_system: str | None = None
    """of SYSTEMS"""
    encoding: str | None = None
    """of a CSV; None: UTF-8, or UTF-16 with its mark"""

    def as_options(self) -> list[str]:
        """As `mera prepare table` takes them, without --code-system."""
        options: list[str] = []
        for name in (*COLUMNS, *KINDS, "keep", "sex_values", "event_separator", "code_separator", "encoding"):
            value = getattr(self, name)
            if value:
                values = [value.replace("\n", "\\n")] if isinstance(value, str) else value
                options += [f"--{name.replace('_', '-')}", *values]
        return options

    def taken(self) -> set[str]:
        """The columns that it names."""
        names = [getattr(self, name) for name in COLUMNS if name not in ("code", "text", "time")]
        names += parts_of("+".join(filter(None, (self.text, self.time))))
        return {as_name(name) for name in [*names, *self.code, *self.procedures, *self.drugs, *self.labs] if name}
