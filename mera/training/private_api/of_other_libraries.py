"""Private names of huggingface-hub, PEFT, datasets and sentence-transformers."""

import huggingface_hub.constants

from mera.training.private_api.private_name import PrivateName

TELEMETRY = PrivateName(
    library="huggingface-hub",
    name="huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY",
    reason="set, so that TRL does not report the trainers that are built",
    seen_in="2.4",
    remedy="set the environment variable before anything is imported, or what is asked now",
)
ONLY_LISTED = (
    PrivateName(
        library="peft",
        name="peft.utils.other",
        attribute="modules_to_save",
        reason="the copy of an output layer that trains beside LoRA, which stage two replaces",
        seen_in="0.21",
        remedy="see what PEFT wraps an output layer in now, in rank/candidate_head.py",
    ),
    PrivateName(
        library="datasets",
        name="datasets.table.InMemoryTable",
        reason="a Dataset from Arrow tables that are in memory already",
        seen_in="5.2",
        remedy="build it from what datasets offers now, in data/task_folder/parts.py",
    ),
    PrivateName(
        library="datasets",
        name="datasets.table",
        attribute="table",
        reason="the Arrow table of a Dataset, read without a copy",
        seen_in="5.2",
        remedy="ask in the way that Dataset.with_format('arrow') does now, in data/task.py",
    ),
    PrivateName(
        library="sentence-transformers",
        name="sentence_transformers.base.modules.transformer",
        attribute="_flatten_position_offset",
        reason="the number of a text's first position, where the bi-encoder computes no padding",
        seen_in="6.2",
        remedy="read it where the Transformer module keeps it now, in bi_encoder, or set encoder.unpadded to false",
    ),
    PrivateName(
        library="sentence-transformers",
        name="sentence_transformers.base.modules.transformer",
        attribute="can_flatten_inputs",
        reason="whether an encoder's attention can tell the texts of one row apart",
        seen_in="6.2",
        remedy="ask in the way that the Transformer module does now, in bi_encoder, or set encoder.unpadded to false",
    ),
)
"""Names that one module uses where it needs them, with no function here between."""


def disable_telemetry() -> None:
    """Let no Hugging Face library report what is built."""
    TELEMETRY.require()
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
