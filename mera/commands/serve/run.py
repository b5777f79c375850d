"""`mera serve`: engines, a socket on 127.0.0.1, and the address with its token."""

import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mera.commands.predict import Ranked, what_it_ranks
from mera.commands.programs import script_command
from mera.commands.serve.engine import Engine
from mera.system.errors import UserError
from mera.system.terminal import plain_console

ENGINES: dict[Ranked, str] = {
    "patients": "rank/task_prediction/run_answers.py",
    "notes": "bi_encoder/search/note_prediction/run_answers.py",
}
HOST = "127.0.0.1"
SECONDS_FOR_OPEN_REQUESTS = 1


def serve(checkpoint: Path, bi_encoder: Path | None, port: int) -> None:
    """Serve until a signal. `checkpoint`: a run that ranks patients, or one of notes alone; `port` 0: any free one.

    Raises UserError where the packages of the extra `serve` are missing, the port is taken, or a model does not open.
    """
    try:
        import uvicorn

        from mera.commands.serve.app import build_app
    except ModuleNotFoundError as error:
        raise UserError(
            f"mera serve needs FastAPI and uvicorn ({error.name} is missing): pip install fastapi uvicorn"
        ) from None
    from mera.commands.serve.guard import Guard

    started = time.perf_counter()
    sources = engine_sources(checkpoint, bi_encoder)
    listener = _listening(port)
    port = listener.getsockname()[1]
    with _engines(sources) as engines:
        with plain_console(stderr=True).status("opening the model"):
            app = build_app(engines.get("patients"), engines.get("notes"))
        token = secrets.token_urlsafe(24)
        print(f"http://{HOST}:{port}/{token}/", flush=True)
        print(
            f"ready after {time.perf_counter() - started:.0f} s; for this machine alone, whoever has the address may "
            "ask; Ctrl-C ends it",
            flush=True,
        )
        settings = uvicorn.Config(
            Guard(app, token, port),
            access_log=False,
            log_level="warning",
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=SECONDS_FOR_OPEN_REQUESTS,
        )
        uvicorn.Server(settings).run(sockets=[listener])


def engine_sources(checkpoint: Path, bi_encoder: Path | None) -> dict[Ranked, Path]:
    """A key of ENGINES -> its run. Raises UserError where one ranks neither patients nor notes, or two rank the
    same."""
    sources: dict[Ranked, Path] = {}
    for path, option in ((checkpoint, ""), (bi_encoder, "--bi-encoder: ")):
        if path is None:
            continue
        kind = what_it_ranks(path)
        if kind is None or (option and kind != "notes"):
            wanted = "a run that reads notes" if option else "a run that ranks patients or notes"
            raise UserError(f"{option}{path} is not {wanted} (stage two, a bi-encoder, a fusion), nor its checkpoint")
        if kind in sources:
            raise UserError(
                "two models of notes were given; give one, and a run of stage two beside it if there is one"
            )
        sources[kind] = path
    return sources


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except (OSError, OverflowError):
        listener.close()
        raise UserError(f"port {port} cannot be used here; choose another with --port, or 0 for any free one") from None
    listener.listen()
    return listener


@contextmanager
def _engines(sources: dict[Ranked, Path]) -> Iterator[dict[Ranked, Engine]]:
    """All started at once; all ended at the end."""
    engines: dict[Ranked, Engine] = {}
    try:
        for kind, path in sources.items():
            engines[kind] = Engine(engine_command(kind, path))
        yield engines
    finally:
        for engine in engines.values():
            engine.hang_up()
        for engine in engines.values():
            engine.end()


def engine_command(kind: Ranked, path: Path) -> Sequence[str]:
    """The program that answers for a checkpoint."""
    return script_command(ENGINES[kind], path)
