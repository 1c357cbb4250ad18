"""Image data sets: Digits needs no network, the others are downloaded once."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
from filelock import FileLock

from data.array_files import arrays
from data.dataset import Data, DataError, Splits
from data.fetch import Remote, cached, fetch
from data.files import replacing


class Digits(Data):
    """1797 handwritten digits of 8 x 8 pixels (Alpaydin and Kaynak, 1998), in scikit-learn; 360 of them to test."""

    levels = 17

    def splits(self) -> Splits:
        from sklearn.datasets import load_digits  # nearly as long in importing as torch is
        from sklearn.model_selection import train_test_split

        images, labels = load_digits(return_X_y=True)
        train, test, train_labels, test_labels = train_test_split(
            images.reshape(-1, 8, 8) / 16, labels, test_size=360, random_state=0, stratify=labels
        )
        return Splits(train, test, train_labels, test_labels)


class _Idx(Data):
    """Four files in the IDX format of LeCun et al.: images and labels, train and test."""

    levels = 256
    folder: str
    mirrors: tuple[str, ...]
    checksums: dict[str, str]

    def splits(self) -> Splits:
        names = ("train-images-idx3", "t10k-images-idx3", "train-labels-idx1", "t10k-labels-idx1")
        return Splits(*(self._read(f"{name}-ubyte.gz") for name in names))

    def _read(self, name: str) -> np.ndarray:
        remote = Remote(f"{self.folder}/{name}", self.checksums[name], tuple(base + name for base in self.mirrors))
        raw = gzip.decompress(fetch(remote).read_bytes())
        if "labels" in name:
            return np.frombuffer(raw, np.uint8, offset=8).astype(np.int64)
        return np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28).astype(np.float32) / 255


class MNIST(_Idx):
    """70000 handwritten digits of 28 x 28 pixels, 10000 of them the test set (LeCun, Cortes and Burges, 1998)."""

    folder = "mnist"
    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    checksums = {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }


class FashionMNIST(_Idx):
    """70000 pictures of clothes of 28 x 28 pixels, 10000 of them the test set (Xiao, Rasul and Vollgraf, 2017)."""

    folder = "fashion_mnist"
    mirrors = (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
        "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    )
    checksums = {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    }


class BinarizedMNIST(Data):
    """MNIST binarised once and for all (Larochelle and Murray, 2011): 50000 train, 10000 test; validation left out.

    They are bits already: every choice of `binarize` leaves them as they are.

    The published text files, a digit and a space per pixel, are packed to bits after their checksum was verified.
    """

    path = "binarized_mnist/binarized_mnist.npz"
    mirror = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
    published = {
        "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
        "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
        "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
    }
    packed = {
        "train": "727146c35424b019f3e350e1e69faa05644a0abaf787e3f4e1a9632220a13906",
        "test": "9fcd8da6f0fdf09b2ba30fe63a0bb784042a0de82563172530229b983e294ff2",
    }

    def splits(self) -> Splits:
        bits = self._packed_bits(cached(self.path))
        return Splits(*(np.unpackbits(bits[part], axis=1).reshape(-1, 28, 28) for part in ("train", "test")))

    def _packed_bits(self, path: Path) -> dict[str, np.ndarray]:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f".{path.name}.lock")):  # of several processes one downloads
                if not path.exists():
                    self._download(path)
        try:
            bits, _ = arrays(path, tuple(self.packed))
        except DataError as error:
            raise DataError(f"{error}: delete it to have it downloaded again") from error
        for part, digest in self.packed.items():
            if part not in bits or hashlib.sha256(bits[part].tobytes()).hexdigest() != digest:
                raise DataError(f"{path} is corrupt (checksum of {part}): delete it to have it downloaded again")
        return bits

    def _download(self, path: Path) -> None:
        bits, texts = {}, []
        for part, digest in self.published.items():
            name = f"binarized_mnist_{part}.amat"
            texts.append(text := fetch(Remote(f"binarized_mnist/{name}", digest, (self.mirror + name,))))
            bits[part] = np.packbits((np.fromfile(text, np.uint8)[::2] - ord("0")).reshape(-1, 784), axis=1)
        with replacing(path) as file:
            np.savez_compressed(file, **bits)
        for text in texts:
            text.unlink(missing_ok=True)
