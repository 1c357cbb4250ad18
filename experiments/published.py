"""Figures as they were published, in nats per datum; each with its source. Nothing else here is copied by hand."""

from typing import NamedTuple


class Published(NamedTuple):
    """A figure that was published: test -log p(x), what it is of, where it stands, and our row, if there is one."""

    figure: float
    what: str
    row: str = ""


class Source(NamedTuple):
    """Where figures stand: in short, for a table, and in full."""

    name: str
    reference: str
    arxiv: str
    figures: tuple[Published, ...]


SOURCES = (
    Source(
        "Burda et al., 2016",
        "Burda, Grosse and Salakhutdinov, 2016, Importance Weighted Autoencoders, Table 1 and Appendix D",
        "1509.00519",
        (
            Published(86.76, "VAE, one layer, K = 1", "burda-vae"),
            Published(86.47, "VAE, one layer, K = 5", "burda-full-vae-5"),
            Published(86.35, "VAE, one layer, K = 50", "burda-full-vae-50"),
            Published(85.54, "IWAE, one layer, K = 5", "burda-full-iwae-5"),
            Published(84.78, "IWAE, one layer, K = 50", "burda-full-iwae-50"),
            Published(85.33, "VAE, two layers, K = 1"),
            Published(85.01, "VAE, two layers, K = 5"),
            Published(84.78, "VAE, two layers, K = 50"),
            Published(83.89, "IWAE, two layers, K = 5"),
            Published(82.90, "IWAE, two layers, K = 50"),
            Published(88.71, "fixed binarisation, VAE, one layer, K = 1", "burda-full-fixed-vae-1"),
            Published(87.63, "fixed binarisation, IWAE, one layer, K = 5", "burda-full-fixed-iwae-5"),
            Published(87.10, "fixed binarisation, IWAE, one layer, K = 50", "burda-full-fixed-iwae-50"),
        ),
    ),
    Source(
        "nbip",
        "nbip, IWAE: two reproductions of the first row in TensorFlow, in a public repository of that name",
        "",
        (
            Published(86.35, "VAE, one layer, K = 1, reproduced", "burda-vae"),
            Published(87.75, "VAE, one layer, K = 1, reproduced earlier", "burda-vae"),
        ),
    ),
    Source(
        "Tomczak and Welling, 2018",
        "Tomczak and Welling, 2018, VAE with a VampPrior",
        "1705.07120",
        (Published(85.57, "fixed binarisation, VampPrior of 500 pseudo-inputs"),),
    ),
    Source(
        "Rainforth et al., 2018",
        "Rainforth et al., 2018, Tighter Variational Bounds are Not Necessarily Better",
        "1802.04537",
        (Published(84.46, "PIWAE"), Published(84.57, "CIWAE")),
    ),
)
