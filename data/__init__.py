"""Real data sets: each split is one tensor that lives on the training device."""

from data.arrays import Arrays
from data.dataset import Data, DataError, Dataset, Other, Splits
from data.folder import Images
from data.images import MNIST, BinarizedMNIST, Digits, FashionMNIST
from data.table import Newsgroups, Table

__all__ = [
    "MNIST",
    "Arrays",
    "BinarizedMNIST",
    "Data",
    "DataError",
    "Dataset",
    "Digits",
    "FashionMNIST",
    "Images",
    "Newsgroups",
    "Other",
    "Splits",
    "Table",
]
