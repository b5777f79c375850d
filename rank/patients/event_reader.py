"""Events as a table of the user's or a command line names them -> those that a model has tokens for.

`drug:furosemide` is the event of that name. Words stand for the event that they name: `procedure:hemodialysis` for
`procedure:9:3995`, whose name is Hemodialysis; of several of one name, the one that most training patients have.
"""

import re
from collections.abc import Iterable, Mapping

from data.sources.shared.events.options import KINDS

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
    return re.sub(r"[<>\s_]+", "_", event.strip()).casefold()
