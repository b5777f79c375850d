"""Any number of processes takes the same steps: the same examples in each, blanks where the last batch is too small."""

import pytest
import torch

from mera.steps import ROWS_KEY, EpochSeededLengthSampler, SeededCollator, ShareOfSteps, StepLoader


def shares(num_examples, batch_size, processes, epoch=0):
    lengths = [1 + (7 * row) % 13 for row in range(num_examples)]
    found = []
    for process in range(processes):
        share = ShareOfSteps(EpochSeededLengthSampler(lengths, 8, seed=3), batch_size, processes, process)
        share.set_epoch(epoch)
        found.append(list(share))
        assert len(found[-1]) == len(share)
    return found


@pytest.mark.parametrize("num_examples", [1, 2, 5, 7, 8, 9, 16, 23])
@pytest.mark.parametrize("processes", [2, 4, 8])
def test_the_examples_of_a_step_do_not_depend_on_the_number_of_processes(num_examples, processes):
    (alone,) = shares(num_examples, 8, 1)
    together = shares(num_examples, 8 // processes, processes)
    assert not any(place.is_blank for batch in alone for place in batch)
    for step, batch in enumerate(alone):
        parts = [share[step] for share in together]
        assert len({len(part) for part in parts}) == 1, "every process needs as many rows"
        assert [place.row for part in parts for place in part if not place.is_blank] == [place.row for place in batch]
    assert {len(share) for share in together} == {len(alone)}


def test_an_epoch_has_every_example_once_and_another_order_than_the_next():
    (first,), (second,) = shares(23, 4, 1), shares(23, 4, 1, epoch=1)
    rows = [[place.row for batch in epoch for place in batch] for epoch in (first, second)]
    assert sorted(rows[0]) == sorted(rows[1]) == list(range(23))
    assert rows[0] != rows[1]


class Drawing:
    """Examples that know the epoch, as those of stage two."""

    epoch = None

    def __len__(self):
        return 5

    def __getitem__(self, row):
        return {"row": row, "epoch": self.epoch}

    def set_epoch(self, epoch):
        self.epoch = epoch


def collate(examples):
    return {"examples": examples, "drawn": torch.rand(3)}


def batches(epoch, process=0, skip=0):
    share = ShareOfSteps(EpochSeededLengthSampler([1] * 5, 2, seed=0), 1, 2, process)
    loader = StepLoader(Drawing(), lambda example: example | {"blank": True}, share, SeededCollator(collate, seed=0))
    loader.set_epoch(epoch)
    return list(loader)[skip:]


def test_what_a_collator_draws_depends_on_the_step_alone():
    torch.manual_seed(1)
    first = batches(epoch=2)
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    again = batches(epoch=2, process=1, skip=1)
    assert torch.equal(first[1]["drawn"], again[0]["drawn"])
    assert not torch.equal(first[0]["drawn"], first[1]["drawn"])
    assert not torch.equal(first[0]["drawn"], batches(epoch=3)[0]["drawn"])
    assert before.shape == torch.random.get_rng_state().shape
    assert all(example["epoch"] == 2 for batch in first for example in batch["examples"])


def test_blank_examples_have_no_row_number():
    own, other = batches(epoch=0), batches(epoch=0, process=1)
    assert [batch[ROWS_KEY] for batch in other][-1] == []
    assert other[-1]["examples"][0]["blank"]
    assert sorted(row for batch in own + other for row in batch[ROWS_KEY]) == list(range(5))
