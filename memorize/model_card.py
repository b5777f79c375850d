"""The model card beside a checkpoint: what it was trained on, what it knows, whose licence it is under."""

import yaml

from data.inspection.summary import percent
from memorize.code_sets.code_set import CodeSet
from memorize.config import MemorizeConfig
from memorize.measurement import RecallRecord
from mera.language_models.licences import UNKNOWN_LICENCE, base_licence, base_name, is_hub_name


def model_card(
    config: MemorizeConfig, code_set: CodeSet, recall: RecallRecord, *, encoder_decoder: bool = False
) -> str:
    """README.md of a checkpoint: names and totals only, nothing of a patient."""
    licence = base_licence(config.model.base)
    # The hub knows licences by identifier, in lower case.
    front = {
        "library_name": "transformers",
        "pipeline_tag": "text2text-generation" if encoder_decoder else "text-generation",
        "tags": ["icd", "medical-coding", "mera-stage-one"],
        "language": ["en"],
        **({"license": licence.lower()} if licence is not None and licence != UNKNOWN_LICENCE else {}),
        **({"base_model": config.model.base} if is_hub_name(config.model.base) else {}),
    }
    method = f"LoRA of rank {config.model.lora.rank}, merged" if config.model.lora.rank else "all parameters trained"
    tokens = "one token each" if config.questions.atomic_tokens else "written as text"
    measured = {"pretrained": recall.get("pretrained_as_text"), "before": recall["before"], "after": recall["after"]}
    columns = {name: shares for name, shares in measured.items() if shares is not None}
    kinds = dict.fromkeys(kind for shares in columns.values() for kind in shares)
    rows = [
        f"| {kind.replace('_', ' ')} | " + " | ".join(percent(shares.get(kind)) for shares in columns.values()) + " |"
        for kind in kinds
    ]
    perplexity = recall["perplexity"]
    replay = f"; {config.replay:.0%} of the training examples were general text" if config.replay else ""
    return "\n".join(
        [
            "---",
            yaml.safe_dump(front, sort_keys=False).strip(),
            "---",
            "",
            f"# A language model that memorized {len(code_set.codes):,} ICD codes",
            "",
            "Stage one of a MERA toolkit run (method: Ma et al., *Memorize and Rank*, arXiv 2501.17326). It is a",
            "starting point for ranking codes, not a medical device.",
            "",
            f"- Base model: {base_name(config.model.base)}",
            f"- Licence of the base model: {licence or 'there is no base model; the weights were random'}",
            f"- Codes: {len(code_set.codes):,} of {code_set.edition}, {tokens}",
            f"- Trained on: questions about their definitions, groups ({', '.join(config.questions.levels) or 'none'}) "
            f"and {_names(code_set, config)} in {config.questions.phrasings} wordings{replay}. No patient's data",
            f"- Training: {method}; learning rate {config.training.learning_rate}, batch {config.training.batch_size}, "
            f"seed {config.training.seed}",
            f"- Perplexity on general English text that was never trained on: {perplexity['before']:,.1f} before, "
            f"{perplexity['after']:,.1f} after",
            "",
            "Exact match over all codes. The held-out wording and the held-out synonyms were never trained on.",
            "",
            "| question | " + " | ".join(columns) + " |",
            "|---|" + "---|" * len(columns),
            *rows,
            "",
            f"{recall['ambiguous_codes']} codes share their definition with another code; each of them is right.",
            "",
        ]
    )


def _names(code_set: CodeSet, config: MemorizeConfig) -> str:
    if code_set.book is None or not config.questions.mixture.term_to_code:
        return "synonyms"
    return f"synonyms and the terms of a code book ({', '.join(code_set.book['sources'])})"
