"""The engine of the bi-encoder for `mera serve`, which starts it: a request a line on standard input, an answer a line.

python bi_encoder/search/note_prediction/run_answers.py runs/laa_mrl
"""

from mera.commands.serve.answering import answer_requests, open_channel

# isort: split

import sys

from bi_encoder.search.note_prediction.answers import NoteAnswers
from bi_encoder.search.note_prediction.note_ranker import NoteRanker
from mera.training.entry_point import run_entry_point


def main() -> None:
    channel = open_channel()
    answers = NoteAnswers(NoteRanker.load(sys.argv[1]))
    answer_requests(channel, answers.about(), {"note": answers.note, "code": answers.code}, answers.warm_up)


if __name__ == "__main__":
    run_entry_point(main)
