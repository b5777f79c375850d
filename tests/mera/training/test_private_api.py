"""Private names of libraries: all listed, all there, and a missing one is one sentence."""

import ast
import re
import subprocess
import tomllib

import pytest

from mera.root import ROOT
from mera.system.errors import UserError
from mera.training import private_api
from mera.training.private_api import PRIVATE_NAMES, PrivateName, explained, of_transformers

HOME = ROOT / "mera/training/private_api"
MODULES = sorted(
    path for package in ("mera", "data", "memorize", "rank", "bi_encoder") for path in (ROOT / package).rglob("*.py")
)


@pytest.mark.parametrize("name", PRIVATE_NAMES, ids=str)
def test_every_private_name_is_there(name):
    name.require()
    assert len(name.reason) > 20
    assert name.remedy
    assert re.fullmatch(r"\d+\.\d+", name.seen_in)


@pytest.mark.parametrize("library", ["torch", "transformers", "trl"])
def test_versions_end_behind_the_one_that_the_names_were_seen_in(library):
    (seen_in,) = {name.seen_in for name in PRIVATE_NAMES if name.library == library}
    major, minor = map(int, seen_in.split("."))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (requirement,) = (line for line in project["dependencies"] if re.match(rf"{library}\W", line))
    assert requirement.endswith(f",<{major}.{minor + 1}")


def test_the_script_for_newer_versions_can_be_read():
    subprocess.run(["bash", "-n", str(ROOT / "tests/newest.sh")], check=True)


def test_no_name_stands_twice():
    assert len({(name.name, name.attribute) for name in PRIVATE_NAMES}) == len(PRIVATE_NAMES)


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("torch.nn.Module._weights", None),
        ("torch._no_such_module.Thing", None),
        ("torch.nn.modules.module", "_no_such_attribute"),
        ("torch.no_such_module", "_weights"),
        ("no_such_library.thing", None),
        ("no_such_library.module", "_weights"),
    ],
)
def test_a_missing_name_is_one_sentence_with_its_remedy(name, attribute):
    missing = PrivateName(
        library="torch",
        name=name,
        attribute=attribute,
        reason="made up for a test",
        seen_in="2.13",
        remedy="look elsewhere",
    )
    with pytest.raises(UserError) as raised:
        missing.require()
    shown = name if attribute is None else f"{attribute} in {name}"
    assert re.fullmatch(
        rf"torch \d\S+ has no {re.escape(shown)}, which 2\.13 has \(made up for a test\): look elsewhere, or install "
        rf"torch 2\.13",
        str(raised.value),
    )


def test_a_library_that_is_not_installed_is_said():
    missing = PrivateName(library="no-such-library", name="no_such", reason="r", seen_in="1.0", remedy="install it")
    assert missing.absence().startswith("no-such-library (not installed) has no no_such, which 1.0 has")


def test_an_import_that_fails_says_which_name_is_gone():
    missing = PrivateName(library="torch", name="torch._gone", reason="made up", seen_in="2.13", remedy="do without")
    with pytest.raises(UserError, match=r"has no torch\._gone"), explained(missing):
        raise ImportError
    with pytest.raises(ImportError, match="of another kind"), explained(private_api.TREE_LEAVES):
        raise ImportError("of another kind")


def test_a_trainer_that_lost_an_overridden_name_is_refused(monkeypatch):
    gone = PrivateName(
        library="transformers", name="transformers.Trainer._gone", reason="r", seen_in="5.24", remedy="override it"
    )
    monkeypatch.setattr(of_transformers, "STEP_ITEMS", gone)
    with pytest.raises(UserError, match=r"has no transformers\.Trainer\._gone"):
        private_api.require_overridden_names()


def test_replaced_names_come_back_whatever_happens():
    from trl.kernels import chunked_logprob
    from trl.trainer import utils

    originals = (utils._use_triton, chunked_logprob._forward_tile, chunked_logprob._addmm_fp32)
    with private_api.gpu_kernels_of_trl():
        assert utils._use_triton("cpu")
        assert chunked_logprob._forward_tile(1, 2) is None
    with pytest.raises(KeyError), private_api.gpu_kernels_of_trl():
        raise KeyError
    assert originals == (utils._use_triton, chunked_logprob._forward_tile, chunked_logprob._addmm_fp32)


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


DOCUMENTED = {"_exit", "_asdict", "_field_defaults", "_fields", "_make", "_replace"}


def own_names(tree):
    """Private names that a module defines itself: functions, methods, fields, and what it sets on `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                yield node.attr
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


@pytest.fixture(scope="module")
def allowed():
    """Private attributes that may stand anywhere: ours, those that are listed without a function between, and those
    that Python documents: `os._exit` and the methods of a named tuple."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in MODULES]
    ours = {name for tree in trees for name in own_names(tree)}
    return ours | DOCUMENTED | {name.attribute or name.name.rpartition(".")[2] for name in private_api.ONLY_LISTED}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_private_names_are_used_where_they_are_listed(path, allowed):
    listed = {name.name for name in PRIVATE_NAMES}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for whole in (prefix + alias.name for alias in node.names):
                assert not whole.startswith("unittest"), path
                is_ours = whole in listed or whole.startswith("_typeshed.")  # the type checker's own
                assert is_ours or not any(map(is_private, whole.split("."))), f"{path}: {whole} is not listed"
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and path.parent != HOME:
            assert node.attr in allowed, f"{path}:{node.lineno}: {node.attr} belongs into {HOME.name}"
