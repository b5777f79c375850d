"""The endpoints on models that were never trained: answers, problems that repeat nothing of what was sent, a fuzz."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.specs.openapi.checks import response_schema_conformance
from served import LocalEngine
from starlette.testclient import TestClient

from mera.commands.serve.app import build_app, sentence_of
from mera.commands.serve.guard import Guard

TOKEN, PORT = "a-token-of-some-length", 8123
CANARY = "Zyxquander"
FUZZED = 30
PATIENT = {"history": [{"codes": ["i10", "E119"], "days_before": 30}, {"codes": ["N17.9"]}], "age": 70, "sex": "F"}
NOTE = "Patient has congestive heart failure. AKI."


@pytest.fixture(scope="module")
def app(engines):
    return build_app(*engines)


def client_of(app, token=TOKEN):
    headers = {"authorization": f"Bearer {token}"}
    return TestClient(Guard(app, TOKEN, PORT), base_url=f"http://127.0.0.1:{PORT}", headers=headers)


@pytest.fixture(scope="module")
def client(app):
    return client_of(app)


def test_one_patient_and_several(client):
    one = client.post("/rank", json=PATIENT | {"top": 5})
    assert one.status_code == 200
    assert len(one.json()["codes"]) == 5
    assert [code["moved_by"] for code in one.json()["codes"]] == [None] * 5
    several = client.post("/rank/batch", json={"patients": [{"age": 50}, PATIENT], "top": 5})
    answer = several.json()["patients"]
    assert [code["code"] for code in answer[1]["codes"]] == [code["code"] for code in one.json()["codes"]]
    assert answer[0]["codes"][0]["score"] != answer[1]["codes"][0]["score"]
    explained = client.post("/rank", json=PATIENT | {"top": 5, "explain": True}).json()
    assert [effect["visit"] for effect in explained["codes"][0]["moved_by"]] == [1, 2]


def test_a_note(client):
    answer = client.post("/notes", json={"text": NOTE, "top": 4}).json()
    assert len(answer["codes"]) == 4
    for code in answer["codes"]:
        assert code["evidence"]
        assert all(0 <= span["start"] < span["end"] <= len(NOTE) for span in code["evidence"])


def test_codes(client):
    assert [code["code"] for code in client.get("/codes", params={"q": "i50"}).json()] == ["I50.9", "I50.22"]
    page = client.get("/code/e11.9").json()
    assert page["is_candidate"]
    assert page["path"][-1]["code"] == "E11"
    assert not client.get("/code/E11").json()["is_candidate"]
    missing = client.get("/code/X1Y2Z3")
    assert (missing.status_code, missing.json()) == (404, {"detail": "the model's edition has no such code"})


def test_a_model_of_events_is_told_of_them(event_checkpoint):
    from rank.predict import Ranker
    from rank.task_prediction.answers import PatientAnswers

    ranker = Ranker.load(event_checkpoint)
    client = client_of(build_app(LocalEngine(PatientAnswers(ranker), "rank", "code"), None))
    assert client.get("/models").json()[0]["events"] == len(ranker.builder.events) > 0
    assert client.get("/codes", params={"q": "drug:wa"}).json() == [{"code": "drug:water", "definition": "water"}]
    visits = [["I10", "drug:water"], ["N17.9", "drug:wine"]]
    answer = client.post("/rank", json={"history": [{"codes": visit} for visit in visits], "top": 3}).json()
    assert (answer["unknown_codes"], answer["unread_events"]) == ([], ["drug:wine"])
    expected = [code.probability for code in ranker.rank(visits, top=3)]
    assert [code["probability"] for code in answer["codes"]] == expected
    assert "a drug or an abnormal lab" in client.get("/").text


def test_a_model_without_events_refuses_them(client):
    refused = client.post("/rank", json={"history": [{"codes": ["I10", "drug:water"]}]})
    said = "the model reads no procedures, drugs or labs; leave them out of the history"
    assert (refused.status_code, refused.json()) == (422, {"detail": said})
    assert "abnormal lab" not in client.get("/").text


def test_what_the_server_ranks_with_and_how_to_ask(client):
    models = client.get("/models").json()
    assert [(model["kind"], model["endpoint"]) for model in models] == [("patients", "/rank"), ("notes", "/notes")]
    assert [model["events"] for model in models] == [0, 0]
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/models", "/rank", "/rank/batch", "/notes", "/codes", "/code/{code}"}
    assert described["paths"]["/rank"]["post"]["security"] == [{"HTTPBearer": []}]


def test_the_page_and_its_parts_and_nothing_else(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "Rank next diagnoses" in page.text
    assert "http" not in page.text.replace("http-equiv", "")
    for name in ("page.css", "page.js", "base.js", "visits.js", "ranking.js", "icon.svg"):
        assert client.get(f"/static/{name}").status_code == 200
    for name in ("../app.py", "page.html.j2", "nothing.js"):
        assert client.get(f"/static/{name}").status_code == 404


@pytest.mark.parametrize("missing", ["rank", "notes"])
def test_a_server_with_one_model_says_what_it_has_not(engines, missing):
    client = client_of(build_app(None, engines[1]) if missing == "rank" else build_app(engines[0], None))
    refused = client.post(f"/{missing}", json={"text": NOTE} if missing == "notes" else PATIENT)
    wanted = {"rank": "a run of stage two", "notes": "a run that reads notes"}[missing]
    assert refused.status_code == 404
    assert refused.json()["detail"] == f"this server has no model for that; start mera serve with {wanted}"
    assert client.get("/code/I10").status_code == 200
    page = client.get("/").text
    assert ('id="panel-visits"' in page, 'id="panel-note"' in page) == (missing == "notes", missing == "rank")


BAD = [
    ("/rank", {"history": [{"codes": [CANARY, CANARY]}]}, "codes are unknown to the model"),
    ("/rank", {"history": [{"codes": [CANARY * 21]}]}, "history.0.codes.0: string should have at most 200 characters"),
    (
        "/rank",
        {"history": [{"codes": ["I10"], "days_before": CANARY}]},
        "history.0.days_before: input should be",
    ),
    ("/rank", {"age": CANARY}, "age: input should be a valid integer"),
    ("/rank", {"age": True}, "age: input should be a valid integer"),
    ("/rank", {"age": 67.5}, "age: input should be a valid integer"),
    ("/rank", {"age": 121}, "age: input should be less than or equal to 120"),
    ("/rank", {"sex": CANARY}, "sex: input should be 'F' or 'M'"),
    ("/rank", {CANARY: CANARY}, "the request: has a field that is not described"),
    ("/rank", {"history": [{CANARY: 1, "codes": []}]}, "history.0: has a field that is not described"),
    ("/rank", {"history": CANARY}, "history: input should be a valid list"),
    ("/rank", {"history": [{"codes": ["I10"], "days_before": days} for days in (1, 9)]}, "must not ascend"),
    ("/rank", {}, "nothing to rank from"),
    ("/rank", {"text": CANARY, "age": 3}, "was trained without notes"),
    ("/rank/batch", {"patients": [PATIENT, {"history": [{"codes": [CANARY]}]}]}, "patient 2: 1 of the history's 1"),
    ("/rank/batch", {"patients": []}, "patients: list should have at least 1 item"),
    ("/notes", {"text": ""}, "text: string should have at least 1 character"),
    ("/notes", {"text": "  "}, "nothing to rank from"),
    ("/notes", {"text": NOTE, "top": 0}, "top: input should be greater than or equal to 1"),
]


@pytest.mark.parametrize(("path", "body", "sentence"), BAD)
def test_a_problem_is_one_sentence_that_repeats_nothing(client, path, body, sentence):
    answer = client.post(path, json=body)
    assert answer.status_code == 422
    assert list(answer.json()) == ["detail"]
    assert sentence in answer.json()["detail"]
    assert CANARY.lower() not in answer.text.lower()
    assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize("content", [f'{{"age": {CANARY}', "[]", '"x"', "null", "\x00", '{"age": 1e999}', "{}{}"])
def test_what_is_no_json_object_is_refused(client, content):
    answer = client.post("/rank", content=content, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert CANARY not in answer.text


def test_a_code_of_another_form_and_an_unknown_path(client):
    assert client.get(f"/code/{CANARY}%20%3Cscript%3E").status_code == 422
    assert CANARY not in client.get(f"/code/{CANARY}%3C").text
    assert client.get(f"/{CANARY}").json() == {"detail": "Not Found"}
    assert client.get("/rank").status_code == 405
    assert client.post("/rank", content="age=1", headers={"content-type": "text/plain"}).status_code == 422


def test_an_error_of_an_unlisted_kind_says_no_message():
    error = {"loc": ("body", "age"), "type": "some_new_type", "msg": f"cannot read {CANARY}"}
    assert sentence_of([error, error]) == (
        "age: is not as described (1 more); /openapi.json describes what can be sent"
    )


def test_a_failing_model_is_a_sentence_and_its_stack_goes_to_stderr(engines, monkeypatch, capsys):
    client = client_of(build_app(*engines))
    monkeypatch.setattr(engines[0]._answers.ranker, "score", lambda rows, tell: {}[CANARY])
    answer = client.post("/rank", json=PATIENT)
    assert answer.status_code == 500
    assert answer.json() == {"detail": "the model could not answer; what was entered was not kept"}
    said = capsys.readouterr()
    assert "error: KeyError" in said.err
    assert CANARY not in said.err + said.out + answer.text


def test_nothing_that_is_entered_is_printed(client, capfd):
    note = {"text": f"{CANARY} has heart failure"}
    assert client.post("/notes", json=note).status_code == 200
    client.post("/rank", json={"history": [{"codes": [CANARY]}]})
    client.get("/codes", params={"q": CANARY})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", ["POST /rank", "POST /rank/batch", "POST /notes", "GET /codes", "GET /code/{code}"])
def test_whatever_is_sent_nothing_fails(app, label, mode):
    """What /openapi.json describes, and what it does not: an answer of the described form, or a sentence."""
    api = schemathesis.openapi.from_asgi("/openapi.json", app)
    operation = api.find_operation_by_label(label)
    statuses = set()

    @settings(max_examples=FUZZED, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @seed(0)
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case):
        answer = case.call()
        statuses.add(answer.status_code)
        assert answer.status_code < 500, case.as_curl_command()
        if answer.status_code >= 400:
            assert list(json.loads(answer.content)) == ["detail"]
        else:
            case.validate_response(answer, checks=[response_schema_conformance])

    send()
    assert statuses <= {200, 400, 404, 405, 422}
    if mode is schemathesis.GenerationMode.NEGATIVE:
        assert statuses - {200}
