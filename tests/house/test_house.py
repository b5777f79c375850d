"""The rules of the house: who imports whom, what a module may be called, that every recipe and command is valid."""

import ast
import functools
import importlib.metadata
import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml
from ready_python import run_ready

from bi_encoder.adaptation.config import AdaptationConfig
from bi_encoder.config import BiEncoderConfig
from memorize.config import MemorizeConfig
from mera.config import load_config
from mera.root import ROOT
from rank.config import RankConfig

PACKAGES = ("mera", "data", "memorize", "rank", "bi_encoder")
MAY_IMPORT = {
    "mera": {"mera"},
    "data": {"data"},
    "memorize": {"memorize", "data", "mera"},
    "rank": {"rank", "data", "mera"},
    "bi_encoder": {"bi_encoder", "data", "mera"},
}
GROUND = ("mera.system", "mera.root")
"""What `data` too stands on: errors, files, locks, signals; nothing there imports torch."""
CONFIGS = {"memorize": MemorizeConfig, "rank": RankConfig, "bi_encoder": BiEncoderConfig}
RECIPES = sorted((ROOT / "configs").glob("*/*.yaml"))
ENTRY_SCRIPTS = [
    "memorize/train.py",
    "rank/train.py",
    "rank/ablations/rescore.py",
    "bi_encoder/train.py",
    "rank/run_baselines.py",
    "bi_encoder/run_retrieval_baselines.py",
]
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported_modules(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


RESUMED_HERE = {
    "bi_encoder/reruns/fold_scores.py": "a folder in the run of bi_encoder/reruns/out_of_fold.py, which claims",
    "mera/doctor/dry_run.py": "the three trainings' open_run; each claims",
}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_run_is_claimed_or_begun_anew(path):
    source, name = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
    if "RunDirectory(" in source and "class RunDirectory" not in source and name not in RESUMED_HERE:
        assert ".claim(" in source, f"{name}: what an interrupted run left is neither resumed nor removed"


PAGES = {".tex", ".md", ".html", ".json", ".csv", ".svg", ".sh", ".yml", ".ipynb"}
A_HOME = re.compile(r"(?<![\w.$}~-])/(?:home|root|work|Users|mnt|tmp)/[\w.-]+/")
"""A folder of somebody's own, by its whole path."""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    package = path.relative_to(ROOT).parts[0]
    modules = [name for name in imported_modules(path) if not (package == "data" and name.startswith(GROUND))]
    ours = {name.split(".")[0] for name in modules} & set(PACKAGES)
    assert ours <= MAY_IMPORT[package], f"{path.name} imports {ours - MAY_IMPORT[package]}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_users_mistake_is_a_user_error(path):
    """The message of any other error is hidden, since a library's may quote a patient."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            assert node.exc.func.id != "ValueError", f"{path}:{node.lineno}: raise UserError"


def test_nobody_imports_an_entry_script_and_it_defines_no_class():
    others = [
        *("rank/run_predict.py", "rank/ablations/run_ablations.py", "rank/studies/run_study.py"),
        "data/prepare/run_sample.py",
        *("memorize/run_recall.py", "bi_encoder/run_search.py", "bi_encoder/reruns/rescore.py"),
        "bi_encoder/reruns/out_of_fold.py",
    ]
    scripts = {script.removesuffix(".py").replace("/", ".") for script in [*ENTRY_SCRIPTS, *others]}
    for path in [*MODULES, *(ROOT / "tests").rglob("*.py")]:
        assert not scripts & set(imported_modules(path)), path
    for script in ENTRY_SCRIPTS:
        tree = ast.parse((ROOT / script).read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)], script
        assert script in ast.get_docstring(tree), f"{script} must open with the command that runs it"


def test_files_are_short_and_entry_scripts_one_paragraph():
    for path in [*MODULES, *(ROOT / "tests").rglob("*.py")]:
        name = path.relative_to(ROOT).as_posix()
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= (60 if name.endswith("/train.py") else 350), f"{name} has {lines} lines"


def test_any_stands_where_a_library_or_json_gives_no_type_and_rarely():
    uses = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "Any"
    ]
    assert len(uses) <= 60, uses


def test_no_module_shadows_the_standard_library_or_a_dependency():
    """A script's own folder is on the path, so `memorize/datasets.py` would hide the package `datasets`."""
    taken = set(sys.stdlib_module_names) | set(importlib.metadata.packages_distributions()) | set(PACKAGES)
    names = {path.stem for path in MODULES if path.stem != "__init__"} | {
        path.name for path in (ROOT / "mera").iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    assert not names & taken


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_recipe_is_valid(recipe):
    config = load_config(CONFIGS[recipe.parent.name], recipe, {"task": "prepared/x", "output": "runs/x"})
    assert config.output == "runs/x"


def test_recipes_of_one_name_exist_for_both_stages():
    names = {stage: {path.name for path in (ROOT / "configs" / stage).glob("*.yaml")} for stage in CONFIGS}
    of_rank_alone = {"demo.yaml", "verifier.yaml"}
    assert names["memorize"] == names["rank"] - of_rank_alone >= {"tiny.yaml", "smollm2.yaml", "biomistral.yaml"}
    assert names["bi_encoder"] >= {"tiny.yaml", "minilm.yaml", "bioclinical_modernbert.yaml"}


@pytest.mark.parametrize("path", sorted((ROOT / "launch" / "accelerate").glob("*.yaml")), ids=lambda path: path.name)
def test_accelerate_reads_every_launch_file(path):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(path))
    assert config.num_processes == yaml.safe_load(path.read_text())["num_processes"]


@pytest.mark.parametrize("script", ENTRY_SCRIPTS)
def test_help_lists_every_key_with_its_default(script):
    result = run_ready([ROOT / script, "--help"])
    assert result.returncode == 0, result.stderr
    assert "--task" in result.stdout
    assert "default" in result.stdout or script == "rank/run_baselines.py"
    if "baselines" in script:  # `mera` starts them
        assert result.stdout.startswith("usage: mera ")
    assert "(default: (" not in " ".join(result.stdout.split())
    described = re.findall(r"^  --[\w.]+ VALUE +[^\s(]", result.stdout.replace("\n                        ", " "), re.M)
    assert len(described) == len(re.findall(r"^  --[\w.]+ VALUE", result.stdout, re.M))


@functools.cache
def help_of(*words):
    result = run_ready(["-m", "mera.cli", *words, "--help"])
    assert result.returncode == 0, result.stderr
    return result.stdout


LOOP = r"^for \w+ in .*?; do\b|(?:^|; )done$"


def readme_commands():
    """Those of the README, of the pages of docs/ and of the scripts that reproduce their tables."""
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))]
    text = "\n".join(pages).replace("\\\n", " ")
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", text, re.S)
    lines = [line.strip() for block in blocks for line in re.sub(LOOP, "", block, flags=re.M).splitlines()]
    for script in sorted((ROOT / "docs" / "reproduce").glob("*.sh")):
        parts = re.split(r"\|\||&&|[{};\n]", script.read_text(encoding="utf-8"))
        lines += [part.strip() for part in parts if part.strip().startswith(("mera ", "accelerate "))]
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


@pytest.mark.parametrize("command", readme_commands())
def test_the_readmes_commands_exist(command):
    """Every command's program, script, options and recipe exist; config keys are known (values are the reader's)."""
    words = shlex.split(command, comments=True)
    while re.fullmatch(r"[A-Z_]+=\S+", words[0]):
        words = words[1:]
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M)
    elif words[:2] == ["accelerate", "launch"]:
        script = next(word for word in words if word.endswith(".py"))
        given = words[words.index(script) + 1 :]
        options = dict(zip(given[::2], given[1::2], strict=True))
        recipe = ROOT / options.pop("--config") if "--config" in options else None
        overrides = {key.removeprefix("--"): yaml.safe_load(value) for key, value in options.items()}
        config = AdaptationConfig if script == "bi_encoder/adapt.py" else CONFIGS[Path(script).parent.name]
        load_config(config, recipe, overrides)
        assert (ROOT / script).is_file()
    elif words[0] == "mera":
        text = help_of(words[1], *words[2:3][: words[1] in ("prepare", "ontology")])
        for option in (word for word in words[2:] if word.startswith("--")):
            assert option in text, f"{option} is not an option of mera {words[1]}"
    else:
        assert words[0] in {"git", "cd", "bash", "python", "pip", "launch/two_stage.sh", "source", ".", "docker"}, (
            command
        )
        for word in words[1:]:
            if word.endswith((".py", ".sh")):
                assert (ROOT / word).is_file()


def test_the_doctor_looks_at_trainers_and_no_trainer_at_the_doctor():
    """Entry scripts alone call it: `--dry-run` and `--estimate`."""
    may = {"memorize/train.py", "rank/train.py", "bi_encoder/train.py", "mera/cli.py"}
    for path in MODULES:
        name = str(path.relative_to(ROOT))
        if not name.startswith("mera/doctor/") and name not in may:
            assert not [module for module in imported_modules(path) if module.startswith("mera.doctor")], name


def test_no_page_names_a_place_on_somebodys_machine():
    pages = [*(ROOT / "docs").rglob("*.*"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    texts = {page: page.read_text(encoding="utf-8") for page in pages if page.suffix in PAGES}
    assert len(texts) > 50
    found = {page.name: match[0] for page, text in texts.items() if (match := A_HOME.search(text))}
    assert not found


@pytest.mark.parametrize("package", PACKAGES)
def test_only_consoles_that_print_what_they_are_given(package):
    """rich's own would leave [lambliasis] out of a code's name (`mera.system.terminal.plain_console`)."""
    for path in sorted((ROOT / package).rglob("*.py")):
        made = re.findall(r"\bConsole\(", path.read_text(encoding="utf-8"))
        assert len(made) == (path.name == "terminal.py" and path.parent.name == "system"), path
