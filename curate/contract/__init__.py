"""What a trainer will read: the ids and the loss mask of a row, and the traps that a data set walks into.

`tokenizers` and `jinja2` do the work; no trainer is imported.
"""

from curate.contract.check import Finding, Report, check
from curate.contract.look import template_problem
from curate.contract.predict import Prediction, Sequence, predict
from curate.contract.settings import Kind, Settings
from curate.contract.tokenised import tokenised
from curate.contract.tokenizer import Tokenizer, load_tokenizer, read_template

__all__ = [
    "Finding", "Kind", "Prediction", "Report", "Sequence", "Settings", "Tokenizer",
    "check", "load_tokenizer", "predict", "read_template", "template_problem", "tokenised",
]  # fmt: skip
