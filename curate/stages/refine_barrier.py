"""After the barriers of the refine stage have decided: groups of prompts that are joined.

Rows of one group never part in a split. Where prompts are compared, each pair of like ones
links their groups, the dropped row's among them: another row of its group may stay.
"""

from pathlib import Path

import pyarrow.parquet as pq

from curate.artifact import write_json
from curate.stages.segments import Segment, rank_directory, segment_directory
from curate.steps.dedup import Dedup
from curate.steps.rows.refined import name_of, part_of

GROUPS = "groups.json"
"""In a segment's directory: the group that takes each joined one in."""


def join_groups(work: Path, segment: Segment, ranks: int) -> None:
    """Write which groups are one from now on, named by the first of them in the order of the input."""
    prompts = [name_of(barrier) for barrier in segment.barriers if isinstance(barrier, Dedup) and part_of(barrier) == "prompt"]
    folder = segment_directory(work, segment.number)
    joined = _joined(folder / "pairs.parquet", prompts, [rank_directory(work, segment.number, rank) for rank in range(ranks)]) if prompts else {}
    write_json(folder / GROUPS, joined)


def _joined(pairs: Path, steps: list[str], directories: list[Path]) -> dict[str, str]:
    """Group to the group that takes it in, of groups that are linked by a pair of these steps."""
    linked = pq.read_table(pairs, columns=["kept", "dropped"], filters=[("step", "in", steps)])
    kept, dropped = (column.to_pylist() for column in linked.columns)
    group = _groups({*kept, *dropped}, directories)
    place = {name: number for number, name in enumerate(dict.fromkeys(group.values()))}
    parent = list(range(len(place)))
    for one, other in zip(kept, dropped, strict=True):
        left, right = _root(parent, place[group[one]]), _root(parent, place[group[other]])
        parent[max(left, right)] = min(left, right)
    names = list(place)
    return {name: names[_root(parent, number)] for name, number in place.items() if _root(parent, number) != number}


def _root(parent: list[int], number: int) -> int:
    while parent[number] != number:
        parent[number] = parent[parent[number]]
        number = parent[number]
    return number


def _groups(ids: set[str], directories: list[Path]) -> dict[str, str]:
    """The group of each of some rows, in the order of the input; a row without one is a group of its own."""
    found: dict[str, str] = {}
    for directory in directories:
        table = pq.read_table(directory / "units.parquet", columns=["id", "group"])
        for name, group in zip(*(column.to_pylist() for column in table.columns), strict=True):
            if name in ids:
                found.setdefault(name, group or name)
    return found
