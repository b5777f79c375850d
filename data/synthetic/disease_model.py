"""The synthetic cohort's dynamics: the exact probability of each code at the next visit, and draws from it.

A patient's state is the stage of each chronic condition and the acute events so far. Both can be read off the codes of
earlier visits, because a stage's codes are always documented where it begins; so the next visit's probabilities given
the history are exact. Given the state, conditions and events are independent; a visit without any code is drawn again,
which divides every probability by 1 - P(no code).

Suffixes: N patients, S chronic conditions, A acute events, F factors, C codes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from data.synthetic.conditions import ACUTE, CHRONIC, Ages, all_codes


class DiseaseModel:
    """The conditions of `data.synthetic.conditions` as arrays."""

    def __init__(self) -> None:
        self.codes = all_codes()
        """(C,) sorted."""
        self._column = {code: index for index, code in enumerate(self.codes)}
        self._condition = {condition.name: index for index, condition in enumerate(CHRONIC)}
        self._event = {event.code: index for index, event in enumerate(ACUTE)}
        self._stage_of = {
            code: (index, stage)
            for index, condition in enumerate(CHRONIC)
            for stage, codes in enumerate(condition.stages, start=1)
            for code in codes
        }
        self._last_stage_S = np.array([len(condition.stages) for condition in CHRONIC])
        every_cause = [
            *(condition.causes for condition in CHRONIC),
            *(condition.progress_causes for condition in CHRONIC),
            *(event.causes for event in ACUTE),
        ]
        self._factors = sorted({factor for causes in every_cause for factor in causes})
        self._onset_log_miss_FS = self._log_miss([condition.causes for condition in CHRONIC])
        self._progress_log_miss_FS = self._log_miss([condition.progress_causes for condition in CHRONIC])
        self._acute_log_miss_FA = self._log_miss([event.causes for event in ACUTE])

    @property
    def num_conditions(self) -> int:
        return len(CHRONIC)

    @property
    def num_events(self) -> int:
        return len(ACUTE)

    def state_after(self, histories: Sequence[Sequence[Sequence[str]]]) -> tuple[np.ndarray, np.ndarray]:
        """For each patient's visits (lists of codes): stages (N, S) int, 0 = absent, and past events (N, A) bool."""
        stages = np.zeros((len(histories), self.num_conditions), dtype=np.int64)
        past = np.zeros((len(histories), self.num_events), dtype=bool)
        for row, visits in enumerate(histories):
            for code in (code for visit in visits for code in visit):
                if code in self._event:
                    past[row, self._event[code]] = True
                else:
                    condition, stage = self._stage_of[code]
                    stages[row, condition] = max(stages[row, condition], stage)
        return stages, past

    def code_probabilities(
        self, stages: np.ndarray, past: np.ndarray, ages: np.ndarray, female: np.ndarray
    ) -> np.ndarray:
        """(N, C) float64: the chance of each code at the next visit.

        stages (N, S) and past (N, A) as from `state_after`; ages (N,) in years at that visit; female (N,) bool.
        """
        advance_NS, acute_NA = self._chances(stages, past, ages, female)
        chances = np.zeros((len(stages), len(self.codes)))
        for code, (condition, stage) in self._stage_of.items():
            advance = advance_NS[:, condition]
            begins = stages[:, condition] == stage - 1
            continues = stages[:, condition] == stage
            chances[:, self._column[code]] = (
                begins * advance + continues * (1 - advance) * CHRONIC[condition].documented
            )
        for code, event in self._event.items():
            chances[:, self._column[code]] = acute_NA[:, event]
        empty = self._chance_of_no_code(stages, advance_NS, acute_NA)
        conditional: np.ndarray = chances / (1 - empty)[:, None]
        return conditional

    def draw_visit(
        self, stages: np.ndarray, past: np.ndarray, ages: np.ndarray, female: np.ndarray, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One visit of each patient: codes (N, C) bool with at least one per row, and the state after it."""
        codes = np.zeros((len(stages), len(self.codes)), dtype=bool)
        new_stages, new_past = stages.copy(), past.copy()
        pending = np.arange(len(stages))
        advance_NS, acute_NA = self._chances(stages, past, ages, female)
        while len(pending):
            begins = generator.random((len(pending), self.num_conditions)) < advance_NS[pending]
            happens = generator.random((len(pending), self.num_events)) < acute_NA[pending]
            reached = stages[pending] + begins
            drawn = self._document(reached, begins, generator)
            drawn[:, [self._column[code] for code in self._event]] = happens
            filled = drawn.any(axis=1)
            rows = pending[filled]
            codes[rows] = drawn[filled]
            new_stages[rows] = reached[filled]
            new_past[rows] = past[rows] | happens[filled]
            pending = pending[~filled]
        return codes, new_stages, new_past

    def first_visit(
        self, ages: np.ndarray, female: np.ndarray, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The visit where patients are first seen: codes (N, C) bool with at least one per row, and the state after it.

        The same dynamics have run before, unobserved, in steps of six years from the age of 18; every condition that
        they brought is documented now.
        """
        stages = np.zeros((len(ages), self.num_conditions), dtype=np.int64)
        past = np.zeros((len(ages), self.num_events), dtype=bool)
        for age in range(18, int(ages.max()), 6):
            advance, _ = self._chances(stages, past, np.full(len(ages), age), female)
            stages += (generator.random(advance.shape) < advance) & (age < ages)[:, None]
        codes = np.zeros((len(ages), len(self.codes)), dtype=bool)
        for code, (condition, stage) in self._stage_of.items():
            codes[:, self._column[code]] = stages[:, condition] == stage
        _, acute_NA = self._chances(stages, past, ages, female)
        pending = np.arange(len(ages))
        while len(pending):  # the healthy come with an acute event: it is drawn until there is one
            past[pending] = generator.random((len(pending), self.num_events)) < acute_NA[pending]
            pending = pending[~(codes[pending].any(axis=1) | past[pending].any(axis=1))]
        codes[:, [self._column[code] for code in self._event]] = past
        return codes, stages, past

    def _chances(
        self, stages: np.ndarray, past: np.ndarray, ages: np.ndarray, female: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(N, S) the chance of moving a stage on, (N, A) the chance of each event."""
        active_NF = self._active(stages, past)
        onset = _risk([condition.onset for condition in CHRONIC], [condition.ages for condition in CHRONIC], ages)
        onset = 1 - (1 - onset) * np.exp(active_NF @ self._onset_log_miss_FS)
        onset *= _sex_allows([condition.sex for condition in CHRONIC], female)
        progress = np.array([condition.progress for condition in CHRONIC])
        progress = 1 - (1 - progress) * np.exp(active_NF @ self._progress_log_miss_FS)
        advance = np.where(stages == 0, onset, np.where(stages < self._last_stage_S, progress, 0.0))
        acute = _risk([event.chance for event in ACUTE], [event.ages for event in ACUTE], ages)
        acute = 1 - (1 - acute) * np.exp(active_NF @ self._acute_log_miss_FA)
        return advance, acute * _sex_allows([event.sex for event in ACUTE], female)

    def _document(self, reached: np.ndarray, begins: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        codes = np.zeros((len(reached), len(self.codes)), dtype=bool)
        chance = generator.random((len(reached), len(self._stage_of)))
        for draw, (code, (condition, stage)) in zip(chance.T, self._stage_of.items(), strict=True):
            documented = begins[:, condition] | (draw < CHRONIC[condition].documented)
            codes[:, self._column[code]] = (reached[:, condition] == stage) & documented
        return codes

    def _chance_of_no_code(self, stages: np.ndarray, advance_NS: np.ndarray, acute_NA: np.ndarray) -> np.ndarray:
        none: np.ndarray = (1 - advance_NS).prod(axis=1) * (1 - acute_NA).prod(axis=1)
        for condition, stage in self._stage_of.values():
            none = none * np.where(stages[:, condition] == stage, 1 - CHRONIC[condition].documented, 1.0)
        return none

    def _active(self, stages: np.ndarray, past: np.ndarray) -> np.ndarray:
        columns = []
        for factor in self._factors:
            name, _, least = factor.partition(">=")
            if name in self._event:
                columns.append(past[:, self._event[name]])
            else:
                columns.append(stages[:, self._condition[name]] >= int(least or 1))
        return np.stack(columns, axis=1).astype(np.float64)

    def _log_miss(self, causes_of: Sequence[Mapping[str, float]]) -> np.ndarray:
        """(F, S or A): the log of the chance that a factor which is present does not bring the effect about."""
        matrix = np.zeros((len(self._factors), len(causes_of)))
        for effect, causes in enumerate(causes_of):
            for factor, chance in causes.items():
                matrix[self._factors.index(factor), effect] = np.log1p(-chance)
        return matrix


def _risk(full: Sequence[float], age_ranges: Sequence[Ages], ages: np.ndarray) -> np.ndarray:
    """(N, S or A): each full risk scaled to the ages (N,)."""
    zero_at, one_at = np.array(age_ranges, dtype=np.float64).T
    risks: np.ndarray = np.array(full) * np.clip((ages[:, None] - zero_at) / (one_at - zero_at), 0.0, 1.0)
    return risks


def _sex_allows(sexes: Sequence[str | None], female: np.ndarray) -> np.ndarray:
    women = np.array([sex != "M" for sex in sexes])
    men = np.array([sex != "F" for sex in sexes])
    return np.where(female[:, None], women, men)
