"""What is asked and answered, as /openapi.json describes it."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from mera.commands.predict import Ranked

MOST_VISITS, MOST_CODES, MOST_PATIENTS, MOST_CHARACTERS = 200, 500, 500, 200_000


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth)]
"""A number, as JSON has them: 67 and 67.0, and no `true`."""
Code = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Age = Annotated[Whole, Field(ge=0, le=120, description="whole years")]
Sex = Literal["F", "M"]
Note = Annotated[str, Field(max_length=MOST_CHARACTERS, description="a note, for a model that reads them")]
Top = Annotated[Whole, Field(ge=1, le=1000, description="how many codes, most likely first")]


class Form(BaseModel):
    """A request holds nothing but what is described."""

    model_config = ConfigDict(extra="forbid")


class Visit(Form):
    codes: Annotated[
        list[Code],
        Field(
            max_length=MOST_CODES,
            description="with or without a dot, in any case; for a model of procedures, drugs or labs those too, as "
            "drug:furosemide",
        ),
    ]
    days_before: Annotated[Whole, Field(ge=0, le=100_000, description="days before now")] | None = None


class Patient(Form):
    history: Annotated[list[Visit], Field(max_length=MOST_VISITS, description="oldest first")] = []
    age: Age | None = None
    sex: Sex | None = None
    text: Note | None = None

    @model_validator(mode="after")
    def _days_do_not_ascend(self) -> Self:
        days = [visit.days_before for visit in self.history if visit.days_before is not None]
        if days != sorted(days, reverse=True):
            raise PydanticCustomError("order", "days before now must not ascend, because visits come oldest first")
        return self


class RankRequest(Patient):
    """One patient, all of whose visits are history."""

    top: Top = 20
    explain: Annotated[bool, Field(description="also what each visit changes, by leaving it out")] = False


class BatchRequest(Form):
    """Several patients, in one pass of the model."""

    patients: Annotated[list[Patient], Field(min_length=1, max_length=MOST_PATIENTS)]
    top: Top = 20


class NoteRequest(Form):
    """One note."""

    text: Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)]
    age: Age | None = None
    sex: Sex | None = None
    top: Top = 20


class VisitEffect(BaseModel):
    """What one visit does to a code's probability."""

    visit: Annotated[int, Field(description="counted from 1, the oldest")]
    change: Annotated[float, Field(description="probability with it minus probability without it")]


class Span(BaseModel):
    """Characters `[start, end)` of the note, counted in code points, and their share of the attention."""

    start: int
    end: int
    weight: float


class RankedCode(BaseModel):
    place: int
    code: str
    definition: str
    probability: Annotated[float | None, Field(description="null: the model has no calibration")]
    score: float
    predicted: Annotated[bool, Field(description="above the threshold")]
    known: Annotated[bool | None, Field(description="stands in the history; null: of a note, which has none")]
    rules: Annotated[
        list[str] | None, Field(description="coding rules it breaks in the predicted set; null: none known")
    ]
    moved_by: Annotated[list[VisitEffect] | None, Field(description="null: not asked for")] = None
    evidence: list[Span] = []


class Ranking(BaseModel):
    codes: list[RankedCode]
    predicted: Annotated[int, Field(description="how many codes of all lie above the threshold")]
    unknown_codes: Annotated[list[str], Field(description="of the history that the model does not know")] = []
    unread_events: Annotated[list[str], Field(description="of the history, that the model has no token for")] = []
    unread: Annotated[list[str], Field(description="what did not fit into the model's input, in sentences")] = []


class BatchRanking(BaseModel):
    patients: Annotated[list[Ranking], Field(description="in the order of the request")]
    unread: Annotated[list[str], Field(description="of all patients together, as of one")] = []


class NamedCode(BaseModel):
    code: str
    definition: str


class CodePage(BaseModel):
    """One code in the hierarchy of its edition."""

    code: str
    definition: str
    edition: str | None
    is_candidate: Annotated[bool, Field(description="whether the model ranks it")]
    path: Annotated[list[NamedCode], Field(description="from the chapter down to the node above")]
    below: list[NamedCode]
    neighbours: Annotated[list[NamedCode], Field(description="codes with the same node above them")]
    terms: Annotated[list[str], Field(description="further names")]
    notes: Annotated[list[str], Field(description="coding notes of the edition on it and on the nodes above")]


class About(BaseModel):
    """What an engine ranks with."""

    kind: Ranked
    model: str
    edition: str | None
    reads_history: bool
    reads_notes: bool
    has_rules: bool
    events: Annotated[list[NamedCode], Field(description="procedures, drugs and labs that it reads")] = []
    candidates: list[NamedCode]


class ModelFacts(BaseModel):
    """A model of this server."""

    kind: Ranked
    model: str
    edition: str | None
    codes: int
    events: Annotated[int, Field(description="procedures, drugs and labs that it reads in a history")]
    endpoint: Annotated[str, Field(description="which of the endpoints asks it")]


class Problem(BaseModel):
    """One sentence on what was wrong; it never repeats what was sent."""

    detail: str
