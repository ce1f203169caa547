"""Steps that know rows: turns, length, languages, refusals, templates, topics, caps, balance, shortcuts."""

from curate.steps.rows.answer_language import AnswerLanguage
from curate.steps.rows.balance import Balance
from curate.steps.rows.caps import Caps
from curate.steps.rows.length import Length
from curate.steps.rows.refusals import Refusals
from curate.steps.rows.shortcuts import Shortcuts
from curate.steps.rows.template import Template
from curate.steps.rows.topics import Topics
from curate.steps.rows.turns import Turns

AnyRowStep = Turns | Length | AnswerLanguage | Refusals | Template | Topics | Caps | Balance | Shortcuts

__all__ = ["AnswerLanguage", "AnyRowStep", "Balance", "Caps", "Length", "Refusals", "Shortcuts", "Template", "Topics", "Turns"]
