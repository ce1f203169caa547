"""The table of verdicts: one row for every call of a judge, as `verdicts/*.parquet` holds it.

A tie and an unreadable reply are labels of their own: counted, never trained on.
"""

import pyarrow as pa

FIRST, SECOND, TIE, UNREADABLE = "first", "second", "tie", "unreadable"
"""Labels of a pairwise verdict: which of the two answers, in the order shown, is the better one."""

SCHEMA = pa.schema(
    [
        pa.field("row_id", pa.string()),
        pa.field("judge", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("order", pa.int8()),  # 0: `a` was shown first; 1: `b` was
        pa.field("draw", pa.int32()),
        pa.field("a", pa.string()),
        pa.field("b", pa.string()),
        pa.field("label", pa.string()),  # null where the verdict is a number
        pa.field("failed", pa.string()),  # why there was no reply at all; its label is unreadable
        pa.field("logit", pa.float64()),  # log-odds that the answer shown first is the better one
        pa.field("missing_mass", pa.float64()),
        pa.field("value", pa.float64()),  # a rating, a place in a ranking, or 1 for a true reply and 0 for a false one
        pa.field("principle", pa.string()),  # name of the drawn principle
        pa.field("rationale", pa.string()),
        pa.field("reply", pa.string()),
        pa.field("model", pa.string()),
        pa.field("prompt_hash", pa.string()),
        pa.field("tokens_in", pa.int64()),
        pa.field("tokens_out", pa.int64()),
        pa.field("cost", pa.float64()),
        pa.field("simulated", pa.bool_()),
    ]
)
