"""Who imports whom: rooms in one order, no circle, and few names at the top of a room."""

import ast
from graphlib import TopologicalSorter

import pytest

from data.prepare.sources import SOURCES
from mera.root import ROOT

PACKAGES = ("mera", "data", "memorize", "rank", "bi_encoder")
ROOMS = (
    *(
        "mera.root",
        "mera.system",
        "mera.training.private_api",
        "mera.config",
        "mera.evaluation",
        "mera.metrics",
        "mera.language_models",
    ),
    *(
        "mera.runs",
        "mera.training",
        "mera.doctor",
        "mera.report.text",
        "mera.report.json_form",
        "mera.report.measures",
        "mera.report.comparison",
    ),
    *("mera.report.page", "mera.report", "mera.commands", "mera.commands.serve", "mera.cli"),
    *("data.ledger", "data.table_files", "data.editions", "data.task_folder", "data.task", "data.ontology"),
    *("data.codes", "data.cohorts", "data.synthetic", "data.sources.shared", "data.sources", "data.inspection"),
    *(
        "data.prepare",
        "memorize.code_sets",
        "memorize",
        "rank.attention",
        "rank.config",
        "rank.decision",
        "rank.patients",
        "rank.wide",
        "rank",
        "rank.verification",
        "rank.baselines",
        "rank.task_prediction",
        "rank.ablations",
        "rank.studies",
    ),
    *("rank.run_baselines", "rank.run_predict", "rank.train", "bi_encoder.config", "bi_encoder"),
    *("bi_encoder.baselines", "bi_encoder.search", "bi_encoder.run_search", "bi_encoder.run_retrieval_baselines"),
    "bi_encoder.reruns",
)
"""From the lowest to the highest, scripts last; a module imports from its own room and from lower ones."""
MOST_NAMES = {"memorize": 16, "rank": 24, "bi_encoder": 24}
"""Files and folders at the top of a room, `__init__` aside; elsewhere 12, in `data/sources` one for each source."""


def modules() -> dict[str, set[str]]:
    """Module -> the project's modules that it imports, anywhere in it."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    graph = {}
    for name, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                imported |= names if names <= set(files) else names | {node.module}
        graph[name] = (imported & set(files)) - {name, *PACKAGES}
    return graph


GRAPH = modules()


def room_of(module: str) -> str:
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len, default=module)


def test_there_is_no_circle():
    tuple(TopologicalSorter(GRAPH).static_order())


@pytest.mark.parametrize("module", sorted(GRAPH))
def test_a_module_imports_from_its_room_and_lower_ones(module):
    if module in PACKAGES:
        return
    room = room_of(module)
    higher = {name for name in GRAPH[module] if ROOMS.index(room_of(name)) > ROOMS.index(room)}
    assert not higher, f"{module} ({room}) imports {', '.join(sorted(higher))}"


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}),
    ids=lambda folder: str(folder.relative_to(ROOT)),
)
def test_few_names_at_the_top_of_a_room(folder):
    room = ".".join(folder.relative_to(ROOT).parts)
    names = {path.name for path in folder.iterdir()} - {"__init__.py", "__pycache__"}
    if room == "data.sources":
        assert names == {f"{source.name.replace('-', '_')}.py" for source in SOURCES} | {"shared"}
    else:
        assert len(names) <= MOST_NAMES.get(room, 12), sorted(names)
