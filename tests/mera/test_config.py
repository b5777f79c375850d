"""Configuration: YAML, overrides, and errors that help."""

import pytest

from mera.config import config_class, config_dict, load_config, parse_config
from mera.language_models.models import ModelConfig
from mera.system.errors import UserError


@config_class
class Section:
    rate: float = 0.1
    """how fast"""
    levels: tuple[str, ...] = ("all",)
    """which levels"""


@config_class
class Example:
    task: str
    """where the task is"""
    section: Section = Section()

    def __post_init__(self):
        if self.task == "nowhere":
            raise ValueError("task must be somewhere")


@config_class
class Trained:
    model: ModelConfig
    """the model"""


def write(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    return tmp_path / "c.yaml"


def test_overrides_win_over_the_file_and_types_are_coerced(tmp_path):
    path = write(tmp_path, "task: a\nsection: {rate: 0.5, levels: [chapter, block]}\n")
    config = parse_config(Example, "", ["--config", str(path), "--section.rate", "3e-4"])
    assert config_dict(config) == {"task": "a", "section": {"rate": 0.0003, "levels": ("chapter", "block")}}
    with pytest.raises(AttributeError):
        config.task = "b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: a\nsection: {rat: 1}\n", r"unknown key 'section.rat'; did you mean 'section.rate'\?"),
        ("task: a\nsectoin: {rate: 1}\n", r"unknown key 'sectoin'; did you mean 'section'\?"),
        ("section: {}\n", "task is required"),
        ("task: a\nsection: {rate: fast}\n", r"section.rate: .*valid number.*\(got 'fast'\)"),
        ("task: nowhere\n", "task must be somewhere"),
        ("- a\n- b\n", "must hold keys and values, got a list"),
        ("task: [\n", "is not valid YAML"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message) as raised:
        load_config(Example, path)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config file not found: .*none\.yaml"):
        load_config(Example, tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "a", "--section.rat", "1"], "unknown key 'section.rat'; did you mean 'section.rate'?"),
        (["--task", "a", "--section", "{rate: 1}"], "'section' is a section; set its keys one by one, such as --"),
        (["--task", "a", "stray"], "unknown key 'stray'"),
        ([], "task is required"),
    ],
)
def test_bad_options_exit_with_one_sentence(capsys, arguments, message):
    with pytest.raises(SystemExit) as raised:
        parse_config(Example, "", arguments)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


def test_help_is_of_the_program_and_shows_lists_as_one_types_them(capsys):
    @config_class
    class Lists:
        names: tuple[str, ...] = ("all", "own-history")
        """which"""
        widths: tuple[int, ...] | None = (8, 16)
        """how wide"""
        rate: float | tuple[float, ...] = 1.0

    with pytest.raises(SystemExit):
        parse_config(Lists, "", ["--help"], program="mera lists")
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("usage: mera lists ")
    assert "--names VALUE [VALUE ...] which (default: [all, own-history])" in text
    assert "--widths VALUE [VALUE ...] how wide (default: [8, 16])" in text
    assert parse_config(Lists, "", ["--names", "[all, own-history]"]) == Lists()
    one = parse_config(Lists, "", ["--names", "all", "--widths", "8"])
    assert (one.names, one.widths) == (("all",), (8,))
    assert parse_config(Lists, "", ["--widths", "null"]).widths is None
    assert parse_config(Lists, "", ["--rate", "2"]).rate == 2.0
    assert parse_config(Lists, "", ["--rate", "[2, 3]"]).rate == (2.0, 3.0)


def test_help_shows_docstrings_and_defaults(capsys):
    with pytest.raises(SystemExit):
        parse_config(Example, "what this does", ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "what this does" in text
    assert "--section.rate VALUE how fast (default: 0.1)" in text
    assert "--task VALUE where the task is (required)" in text


@pytest.mark.parametrize("words", [["[chapter, block]"], ["chapter", "block"]])
def test_a_list_is_typed_with_brackets_or_as_words(words):
    config = parse_config(Example, "", ["--section.levels", *words, "--task", "a"])
    assert config.section.levels == ("chapter", "block")
    assert config.task == "a"


def test_a_check_of_ours_is_one_sentence_without_the_values_of_its_section(tmp_path):
    said = (
        "model.quantization nf4 freezes the base model, so adapters must train: set model.lora.rank (32, for example), "
        "or model.quantization none to train all parameters"
    )
    recipe = write(tmp_path, "model: {base: some/model}\n")
    for path, where in ((None, ""), (recipe, f" in {recipe}")):
        with pytest.raises(UserError) as refusal:
            load_config(Trained, path, {"model.base": "some/model", "model.quantization": "nf4"})
        assert str(refusal.value) == f"bad configuration{where}: {said}"
