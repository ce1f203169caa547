"""Lengths and groups of rows in; the batches of an epoch out, the same for every start of the same run.

Transformers' own buckets draw from the global generator, so that a resumed run reads other rows than
the run it goes on with would have.
"""

import random
from collections.abc import Iterator

BUCKET = 50
"""Batches whose rows are sorted together: enough for little padding, few enough to stay random."""


def batches(lengths: list[int], groups: list[str] | None, size: int, seed: int, epoch: int) -> list[list[int]]:
    """Rows by number, at most `size` a batch, similar lengths together, and a group never parted.

    A group of more than `size` rows has batches of its own. (Ouyang et al. 2022, 3.5, train all pairs
    of a prompt in one batch; else the reward model overfits on its answers.)
    """
    draw = random.Random(f"{seed}/{epoch}")
    units = _units(lengths, groups, size)
    draw.shuffle(units)
    made: list[list[int]] = []
    for start in range(0, len(units), size * BUCKET):
        bucket = sorted(units[start : start + size * BUCKET], key=lambda rows: max(lengths[row] for row in rows))
        made += _filled(bucket, size)
    draw.shuffle(made)
    return made


def _units(lengths: list[int], groups: list[str] | None, size: int) -> list[list[int]]:
    """Rows that stay together, no more than `size` of them."""
    members: dict[str | int, list[int]] = {}
    for row in range(len(lengths)):
        members.setdefault(groups[row] if groups else row, []).append(row)
    return [rows[start : start + size] for rows in members.values() for start in range(0, len(rows), size)]


def _filled(units: list[list[int]], size: int) -> list[list[int]]:
    """Units in their order, put into batches as long as they fit."""
    made: list[list[int]] = [[]]
    for rows in units:
        if len(made[-1]) + len(rows) > size:
            made.append([])
        made[-1].extend(rows)
    return [rows for rows in made if rows]


class Batches:
    """The batches of the epoch that was set last, as a data loader asks for them."""

    def __init__(self, lengths: list[int], groups: list[str] | None, size: int, seed: int, processes: int = 1) -> None:
        self.rows = (lengths, groups, size, seed)
        self.processes = processes
        self.batch_size = size
        self.drop_last = False
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._made())

    def __len__(self) -> int:
        return len(self._made())

    def _made(self) -> list[list[int]]:
        """The batches, the first ones again at the end until every process has as many: one that has fewer hangs the others."""
        made = batches(*self.rows, self.epoch)
        return made + made[: -len(made) % self.processes]


class Batched:
    """Mixed into a trainer of transformers: it reads `batches` where there are some, and scores no more than it must."""

    batches: Batches | None = None

    def __init__(self, *given: object, **named: object) -> None:
        from training.head import score_labels_alone

        score_labels_alone()
        super().__init__(*given, **named)

    def get_train_dataloader(self) -> object:
        """The loader of the training rows, sharded over processes by accelerate."""
        from torch.utils.data import DataLoader

        if self.batches is None:
            return super().get_train_dataloader()
        rows = self._remove_unused_columns(self.train_dataset, description="training")
        args, even = self.args, self.accelerator.even_batches
        loader = DataLoader(
            rows, batch_sampler=self.batches, collate_fn=self.data_collator, pin_memory=args.dataloader_pin_memory,
            num_workers=args.dataloader_num_workers, persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
        )  # fmt: skip
        self.accelerator.even_batches = False  # `Batches` are even, and of many sizes
        loader = self.accelerator.prepare(loader)
        self.accelerator.even_batches = even
        return loader
