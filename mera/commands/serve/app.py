"""The endpoints. Nothing that is sent here is stored, logged or repeated in an error."""

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from mera.commands.predict import Ranked
from mera.commands.serve.completion import Completion
from mera.commands.serve.engine import Engine, EngineFailure, EngineRefusal
from mera.commands.serve.messages import (
    About,
    BatchRanking,
    BatchRequest,
    CodePage,
    ModelFacts,
    NamedCode,
    NoteRequest,
    Problem,
    Ranking,
    RankRequest,
)
from mera.commands.serve.page import ASSETS, asset, rendered_page

MOST_COMPLETIONS = 12
FIELDS = {"history", "codes", "days_before", "age", "sex", "text", "top", "explain", "patients", "q", "code", "body"}
"""Names that an error may say: those of our own, not what somebody sent as one."""
SAYS_NO_VALUE = frozenset(
    {
        *("missing", "order", "json_invalid", "literal_error", "too_long", "too_short", "list_type", "model_type"),
        *("string_too_long", "string_too_short", "string_type", "string_unicode", "string_pattern_mismatch"),
        *("int_type", "int_parsing", "int_from_float", "greater_than_equal", "less_than_equal"),
        *("bool_type", "bool_parsing", "dict_type", "model_attributes_type"),
    }
)
"""Kinds of errors whose message holds nothing of the input."""
PROBLEMS: dict[int | str, dict[str, object]] = {
    code: {"model": Problem, "description": what}
    for code, what in {
        400: "the request cannot be read",
        401: "the token is missing",
        404: "there is no such model or code",
        422: "the request is not as described, or the model cannot read it",
    }.items()
}


def build_app(patients: Engine | None, notes: Engine | None) -> FastAPI:
    """`patients`: an engine of stage two; `notes`: one of the bi-encoder. At least one of them."""
    app = FastAPI(
        title="MERA",
        description="Ranks ICD diagnosis codes of a patient's next visit, or of a note. Not a medical device.",
        version="1",
        docs_url=None,
        redoc_url=None,
        responses=PROBLEMS,
        # The guard asks for the token; this says so in /openapi.json.
        dependencies=[Depends(HTTPBearer(auto_error=False, description="the token that mera serve printed"))],
    )
    abouts = {engine: engine.about for engine in (patients, notes) if engine is not None}
    known = {entry.code: entry for about in abouts.values() for entry in about.candidates}
    entered = abouts[patients] if patients is not None else next(iter(abouts.values()))
    completion = Completion([*entered.candidates, *entered.events])
    _say_problems(app)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page() -> str:
        return rendered_page(_about(patients, abouts), _about(notes, abouts))

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        if name not in ASSETS:
            raise HTTPException(404, "there is no such file")
        return Response(asset(name), media_type=ASSETS[name])

    @app.get("/models")
    def models() -> list[ModelFacts]:
        """What this server ranks with."""
        endpoints: dict[Ranked, str] = {"patients": "/rank", "notes": "/notes"}
        return [
            ModelFacts(
                kind=about.kind,
                model=about.model,
                edition=about.edition,
                codes=len(about.candidates),
                events=len(about.events),
                endpoint=endpoints[about.kind],
            )
            for about in abouts.values()
        ]

    @app.post("/rank")
    def rank(request: RankRequest) -> Ranking:
        """The next diagnoses of one patient."""
        patient = request.model_dump(exclude={"top", "explain"})
        asked = {"patients": [patient], "top": request.top, "explain": request.explain}
        return BatchRanking.model_validate(_present(patients, "patients").ask("rank", asked)).patients[0]

    @app.post("/rank/batch")
    def rank_batch(request: BatchRequest) -> BatchRanking:
        """The next diagnoses of several patients, in their order."""
        asked = request.model_dump() | {"explain": False}
        return BatchRanking.model_validate(_present(patients, "patients").ask("rank", asked))

    @app.post("/notes")
    def rank_note(request: NoteRequest) -> Ranking:
        """The codes that a note speaks of, with the evidence of each."""
        return Ranking.model_validate(_present(notes, "notes").ask("note", request.model_dump()))

    @app.get("/codes")
    def codes(
        q: Annotated[str, Query(max_length=100, description="the beginning of a code, or words of its name")],
    ) -> list[NamedCode]:
        """Up to twelve codes, or procedures, drugs and labs, that complete what somebody types."""
        return completion.complete(q, MOST_COMPLETIONS)

    @app.get("/code/{code}")
    def one_code(code: Annotated[str, Path(pattern=r"^[A-Za-z0-9. -]{1,20}$")]) -> CodePage:
        """A code, what stands above, below and beside it, its further names and the edition's notes on it."""
        engine = patients if patients is not None else _present(notes, "notes")
        found = CodePage.model_validate(engine.ask("code", {"code": code}))
        return found.model_copy(update={"is_candidate": found.code in known})

    return app


def _present(engine: Engine | None, kind: Ranked) -> Engine:
    """Raises 404 where this server was started without such a model."""
    if engine is None:
        missing = {"patients": "a run of stage two", "notes": "a run that reads notes"}[kind]
        raise HTTPException(404, f"this server has no model for that; start mera serve with {missing}")
    return engine


def _about(engine: Engine | None, abouts: Mapping[Engine, About]) -> About | None:
    return None if engine is None else abouts[engine]


def _say_problems(app: FastAPI) -> None:
    """Every problem is `{"detail": sentence}`, and no sentence holds what was sent."""

    @app.exception_handler(RequestValidationError)
    def unreadable(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": sentence_of(error.errors())}, 422)

    @app.exception_handler(HTTPException)
    def refused(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"detail": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(EngineRefusal)
    def said(_: Request, error: EngineRefusal) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, error.status)

    @app.exception_handler(EngineFailure)
    def failed(_: Request, error: EngineFailure) -> JSONResponse:
        print(error.stack, file=sys.stderr)
        return JSONResponse({"detail": f"{error}; what was entered was not kept"}, 500)


def sentence_of(errors: Sequence[Mapping[str, object]]) -> str:
    """The first of pydantic's errors, with its place, and without a value."""
    error = errors[0]
    place, kind = error["loc"], error["type"]
    assert isinstance(place, tuple)
    parts = [str(part) for part in place[1:] if isinstance(part, int) or part in FIELDS]
    where = ".".join(parts) or "the request"
    if kind == "extra_forbidden":
        where, what = ".".join(parts) or "the request", "has a field that is not described"
    elif kind in SAYS_NO_VALUE:
        what = str(error["msg"])[:1].lower() + str(error["msg"])[1:]
    else:
        what = "is not as described"
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{where}: {what}{more}; /openapi.json describes what can be sent"
