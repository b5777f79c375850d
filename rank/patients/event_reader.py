"""Events as a table of the user's or a command line names them -> those that a model has tokens for.

`drug:furosemide` is the event of that name. Words stand for the event that they name: `procedure:hemodialysis` for
`procedure:9:3995`, whose name is Hemodialysis; of several of one name, the one that most training patients have.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from data.sources.shared.events.event_rows import as_key
from data.sources.shared.events.options import KINDS
from mera.system.errors import UserError

READS_NONE = "the model reads no procedures, drugs or labs"
_KIND = re.compile(rf"\s*({'|'.join(KINDS.values())})s?:(.+)", re.IGNORECASE)


class EventReader:
    """Reads events for a model that knows `events`."""

    def __init__(self, events: Mapping[str, str]):
        """`events`: event -> name, the rarest in training first, as `Ranker` has them."""
        self.events = set(events)
        self._by_words = {_words(f"{event.partition(':')[0]}:{name}"): event for event, name in events.items()}
        self._by_words |= {_words(event): event for event in events}

    def read(self, event: str) -> str:
        """The model's event that `event` names, or `event` itself where it has none."""
        return event if event in self.events else self._by_words.get(_words(event), event)

    def read_all(self, events: Iterable[str]) -> list[str]:
        return list(dict.fromkeys(map(self.read, events)))

    def visits(self, events: Sequence[Sequence[str]]) -> list[list[str]]:
        """The events of each visit of a history. Raises UserError where there are any and the model reads none."""
        if any(events) and not self.events:
            raise UserError(f"{READS_NONE}; leave them out of the history")
        return list(map(self.read_all, events))

    def unread(self, events: Iterable[str]) -> list[str]:
        """Those, as they were read, that the model has no token for, none twice."""
        return [event for event in dict.fromkeys(events) if event not in self.events]


def split_events(visit: Iterable[str]) -> tuple[list[str], list[str]]:
    """The codes of a visit and its events, where both stand in one list: `428.0`, `drug:furosemide`."""
    codes, events = [], []
    for word in visit:
        event = _KIND.fullmatch(word)
        if event is None:
            codes.append(word)
        else:
            events.append(f"{event[1].lower()}:{event[2].strip()}")
    return codes, events


def _words(event: str) -> str:
    return re.sub("_+", "_", as_key(event)).casefold()
