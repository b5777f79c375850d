"""DocumentReferences with their plain text inside."""

import base64
import binascii
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from data.sources.shared.fhir.ndjson import at, first_of, id_of, resource_lines, text_at
from data.sources.shared.fhir.resources import Resources


def read_documents(resources: Resources, unread: Counter[str]) -> Iterator[tuple[str, str, str, str, str]]:
    """Id, patient, encounter, date and plain text of each DocumentReference, one after the other; a text that is not
    in the resource, or not plain, is empty, and counted in `unread` with the reason. Of several versions of a document
    the newest counts."""
    numbers = itertools.count()
    for path in resources.with_documents:
        for resource in resource_lines(path):
            if text_at(resource, "resourceType") != "DocumentReference":
                continue
            name, number = text_at(resource, "id"), next(numbers)
            if name and resources.newest_documents.get(name, (None, None))[1] != number:
                continue
            reference = first_of(
                at(resource, "context", "encounter", 0),
                at(resource, "context", 0),
                at(resource, "context", "encounter"),
            )
            dates = (text_at(resource, "date"), text_at(resource, "context", "period", "end"))
            yield (
                name,
                id_of(at(resource, "subject")),
                id_of(reference),
                next(filter(None, dates), ""),
                _plain_text(resource, unread),
            )


def _plain_text(resource: Mapping[str, object], unread: Counter[str]) -> str:
    statuses = {text_at(resource, "status"), text_at(resource, "docStatus")}
    for status, reason in (("entered-in-error", "entered in error"), ("superseded", "superseded by another")):
        if status in statuses:
            unread[reason] += 1
            return ""
    contents = at(resource, "content")
    attachments = [at(each, "attachment") for each in contents] if isinstance(contents, list) else []
    plain = [each for each in attachments if re.match(r"text/plain|$", text_at(each, "contentType").lower())]
    with_data = [each for each in plain if text_at(each, "data")]
    if not with_data:
        unread["text elsewhere (url), or none" if plain else "not plain text"] += 1
        return ""
    charset = re.search(r"charset=([\w.-]+)", text_at(with_data[0], "contentType").lower())
    try:
        return base64.b64decode(text_at(with_data[0], "data")).decode(charset[1] if charset else "utf-8")
    except (binascii.Error, UnicodeError, LookupError, ValueError):
        unread["not base64 of a text"] += 1
        return ""
