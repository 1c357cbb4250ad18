"""A validation split: a part of the training data that training is judged on, so that the test set is not."""

import numpy as np

from data.dataset import Splits
from data.on_disk import RowsOnDisk


def with_validation(splits: Splits, share: float | None, seed: int) -> Splits:
    """Sets part of the training data aside, drawn without replacement by a generator of this seed; the test set stays.

    Args:
        splits: what a source gives.
        share: a share of the training data below 1, or their number from 2 on; None: no such split.
        seed: the run's.

    Raises:
        ValueError: there are too few data for it.
    """
    if share is None:
        return splits
    there = len(splits.train)
    count = round(share * there) if share < 1 else int(share)
    if not 2 <= count < there:
        raise ValueError(
            f"validation = {share:g} is {count} of {there} training data: two at least to judge on, one at least to"
            " train on"
        )
    drawn = np.random.default_rng(seed).permutation(there)
    held, kept = np.sort(drawn[:count]), np.sort(drawn[count:])
    labels = splits.train_labels
    train = splits.train
    return splits._replace(
        train=train.only(kept) if isinstance(train, RowsOnDisk) else train[kept],
        train_labels=None if labels is None else labels[kept],
        validation=train.read(held) if isinstance(train, RowsOnDisk) else train[held],
    )
