"""Rows of a record batch in, the same with changed columns out: only what a step has changed is made anew.

Turning whole rows back into Arrow costs more than most steps do.
"""

import pyarrow as pa

Row = dict[str, object]


def patched(batch: pa.RecordBatch, places: list[int], changes: list[Row], schema: pa.Schema) -> pa.RecordBatch:
    """The rows at `places`, each with its changed columns (`changes`, one a place) in place of the old ones."""
    taken = batch.take(pa.array(places, pa.int64()))
    touched = set().union(*changes)
    columns = []
    for field in schema:
        column = taken.column(field.name)
        if field.name in touched:
            column = _replaced(column, [(place, one[field.name]) for place, one in enumerate(changes) if field.name in one], field)
        columns.append(column.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _replaced(column: pa.Array, new: list[tuple[int, object]], field: pa.Field) -> pa.Array:
    """The column with new values at some places; the others are not read."""
    order = list(range(len(column)))
    for number, (place, _) in enumerate(new):
        order[place] = len(column) + number
    both = pa.concat_arrays([column.cast(field.type), pa.array([value for _, value in new], field.type)])
    return both.take(pa.array(order, pa.int64()))
