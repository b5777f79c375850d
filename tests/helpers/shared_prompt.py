"""The loss of several orders behind one prompt, as the trainer computes it and as separate sequences, and examples.

from shared_prompt import EXAMPLES, collated_loss, separate_loss        (pytest puts this folder on sys.path)
"""

import torch

from rank.attention.masks import masks_for, orders_mask
from rank.loss import stage_two_loss
from rank.partial_outputs import PartialOutputCollator, RankingExample
from rank.row_chunks import loss_in_chunks
from rank.wide.recurrence import seen_codes

NUM_CODES, FIRST_CODE, EOV_ID, PAD_ID = 12, 20, 40, 0
CANDIDATES = torch.arange(FIRST_CODE, FIRST_CODE + NUM_CODES)
GROUPS = torch.stack([torch.zeros(NUM_CODES, dtype=torch.long), torch.arange(NUM_CODES) // 4])
NOTHING_SEEN = seen_codes([], {})
SEEN = seen_codes([{"codes": ["a", "b"]}, {"codes": ["b"]}], {"a": 3, "b": 7})
EXAMPLES = [
    RankingExample([1, 5, 6, 7, 8, 3], [0, 4, 7], [[4, 0, 7], [7, 4, 0], [0, 7, 4]], SEEN),
    RankingExample([1, 3], [2], [[2], [2], [2]], NOTHING_SEEN),
    RankingExample([1, 9, 10, 3], [11, 5, 1, 8], [[5, 11, 8, 1], [1, 8, 5, 11], [8, 1, 11, 5]], NOTHING_SEEN),
]
WITHOUT_ORDERS = [RankingExample(example.prompt_ids, example.targets, [], example.seen) for example in EXAMPLES]


PROMPT_WEIGHT = 2.5


def collated_loss(model, examples, config, sliding_window="own", step_rows=None):
    """What the trainer computes: candidates only, in chunks of rows; `sliding_window`: in the place of the model's."""
    batch = PartialOutputCollator(CANDIDATES, PAD_ID, config.known == "ignore", PROMPT_WEIGHT)(examples)
    places = batch["order_ids"], batch["position_ids"]
    own = sliding_window == "own"
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=masks_for(model, *places) if own else orders_mask(*places, sliding_window, "sdpa"),
        position_ids=batch["position_ids"],
        logits_to_keep=batch["logits_to_keep"],
    ).logits
    return loss_of_rows(model, batch, logits, config, GROUPS, step_rows)


def loss_of_rows(model, batch, logits, config, groups, step_rows=None):
    """The loss of a batch's logits in chunks of rows, as the trainer computes it; `groups` (L, C) of the codes."""
    if step_rows is None:
        step_rows = torch.tensor([batch["weight_of_rows"], batch["weight_of_positive_rows"]])

    def share(scores, eov, rows):
        targets = (batch["positive"][rows], batch["ignored"][rows])
        return stage_two_loss(scores, eov, *targets, groups, config, batch["row_weights"][rows], step_rows)

    return loss_in_chunks(logits, model.recurrence(batch["recurrence"]), batch["row_read"], batch["row_example"], share)


def separate_loss(model, examples, config):
    """Each order and each number of known codes is a sequence of its own, without padding and without a mask."""

    def last_logits(prompt_ids, known):
        return model(input_ids=torch.tensor([[*prompt_ids, *(FIRST_CODE + code for code in known)]])).logits[0, -1]

    return loss_of_sequences(model, examples, config, GROUPS, last_logits, CANDIDATES, EOV_ID)


def loss_of_sequences(model, examples, config, groups, last_logits, candidates, eov_id):
    """`last_logits(prompt_ids, known)`: (V,), what the model says behind a prompt and the codes that are known."""
    num_codes = len(candidates)
    scores, eov, positive, ignored, weights = [], [], [], [], []
    for example in examples:
        features = torch.zeros(num_codes, 3)
        features[example.seen.columns] = torch.from_numpy(example.seen.features)
        for order in example.orders or [[]]:
            for known in range(len(order) + 1):
                last = last_logits(example.prompt_ids, order[:known])
                scores.append(last[candidates] + model.recurrence(features))
                eov.append(last[eov_id])
                positive.append(torch.zeros(num_codes, dtype=torch.bool))
                ignored.append(torch.zeros(num_codes, dtype=torch.bool))
                positive[-1][[code for code in example.targets if code not in order[:known]]] = True
                if config.known == "ignore":
                    ignored[-1][order[:known]] = True
                weights.append(1.0 if known else PROMPT_WEIGHT)
    stacked = (torch.stack(part) for part in (scores, eov, positive, ignored))
    return stage_two_loss(*stacked, groups, config, torch.tensor(weights))


def assert_same_gradients(first, second):
    for (name, one), (_, other) in zip(first.named_parameters(), second.named_parameters(), strict=True):
        error = (one.grad - other.grad).norm() / other.grad.norm()
        assert error < 1e-5, f"{name}: relative error {error:.1e}"
