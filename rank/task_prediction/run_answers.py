"""The engine of stage two for `mera serve`, which starts it: a request a line on standard input, an answer a line.

python rank/task_prediction/run_answers.py runs/rank
"""

from mera.commands.serve.answering import answer_requests, open_channel

# isort: split

import sys

from mera.system.errors import UserError
from mera.training.entry_point import run_entry_point
from rank.task_prediction.answers import PatientAnswers
from rank.task_prediction.open_ranker import open_ranker
from rank.verification.verifier import Verifier


def main() -> None:
    channel = open_channel()
    ranker = open_ranker(sys.argv[1])
    if isinstance(ranker, Verifier):
        raise UserError(f"{sys.argv[1]} verifies the candidates of another run; mera serve needs a model that ranks")
    answers = PatientAnswers(ranker)
    answer_requests(channel, answers.about(), {"rank": answers.rank, "code": answers.code}, answers.warm_up)


if __name__ == "__main__":
    run_entry_point(main)
