"""XML of a publisher's file as elements. A document type is refused: with it come entities, which may grow."""

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from mera.system.errors import UserError


def read_plain_xml(content: bytes, name: str) -> Element:
    """The root of the document. `name`: what errors call it. Raises UserError where it is no well-formed XML, or has a
    document type (and with it perhaps entities).
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise UserError(f"{name} declares a document type, which no file of the CDC does; it is not read")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda tag, attributes: builder.start(tag, attributes)
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.buffer_text = True
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError) as error:
        line = f", line {error.lineno}" if isinstance(error, expat.ExpatError) else ""
        raise UserError(f"{name} is damaged: it is no well-formed XML{line}; fetch it again") from None
    return builder.close()
