"""Which codes of a history the baselines read: the candidates, and others that they can learn something of."""

from data.task import Task


def history_columns(task: Task) -> dict[str, int]:
    """code -> column of what a baseline reads: the candidates in their order, then the other codes that a history of
    train holds.

    A code that only histories of test hold has no column: nothing could be learnt of it.
    """
    others = set(task.other_code_table["code"])
    trained: set[str] = set()
    if others:
        trained = {code for row in task.splits["train"]["history"] for visit in row for code in visit["codes"]}
    return {code: column for column, code in enumerate([*task.codes, *sorted(trained & others)])}
