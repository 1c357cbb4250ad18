"""The library by itself: what its wheel holds, beside a stranger's modules of our names, with its core dependencies."""

import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EXTRAS = ("jsonargparse", "matplotlib", "platformdirs", "sklearn", "yaml")
LOSS = """
import data, training, train
from model import VAE

def loss_function(recon_x, x, mu, logvar):
    import torch.nn.functional as F
    bce = F.binary_cross_entropy(recon_x, x.view(-1, VAE.pixels), reduction="sum")
    return bce - 0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that `pip install .` builds, from a copy, so that nothing is left in the repository."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("pyproject.toml", "README.md", "LICENSE", "elbolab"):
        subprocess.run(["cp", "-r", ROOT / name, copy], check=True)
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "-q", "-w", copy / "out"]
    subprocess.run(command, cwd=copy, check=True)
    (found,) = (copy / "out").glob("*.whl")
    return found


@pytest.fixture
def stranger(wheel, tmp_path):
    """Runs Python in a folder with its own model.py, data.py, training.py and train.py, the wheel installed."""
    site, folder = tmp_path / "site", tmp_path / "project"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    folder.mkdir()
    (folder / "model.py").write_text("class VAE:\n    pixels = 784\n")
    for name in ("data", "training", "train"):
        (folder / f"{name}.py").write_text(f"SELF = {name!r}\n")
    (folder / "loss.py").write_text(LOSS)

    def run(*arguments):
        path = os.pathsep.join(map(str, (site, folder)))
        environment = os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
        return subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_the_wheel_holds_the_library_alone(wheel):
    with zipfile.ZipFile(wheel) as file:
        tops = {name.split("/")[0] for name in file.namelist()}
        assert "elbolab/py.typed" in file.namelist()
        assert {"elbolab/report/js/tensor.js", "elbolab/report/templates/page.html"} <= set(file.namelist())
        entry = next(name for name in file.namelist() if name.endswith("entry_points.txt"))
        assert "elbolab = elbolab.__main__:main" in file.read(entry).decode()
    assert {top for top in tops if not top.endswith(".dist-info")} == {"elbolab"}


def test_a_loss_beside_modules_of_our_names_is_audited(stranger):
    done = stranger("-m", "elbolab", "audit", "loss.py:loss_function")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("elbo: exactly the negative ELBO")


def without(names):
    """Python that refuses to import what only extras install."""
    return f"import sys\nsys.modules.update(dict.fromkeys({names!r}))\n"


PROGRAM = """
import pyro, torch, elbolab
import pyro.distributions as dist

def model(x):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z, 1.0), obs=x)

def guide(x):
    location = pyro.param("location", torch.zeros(()))
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(location, 0.7))

pyro.set_rng_seed(0)
svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), loss=elbolab.DReG(5))
for _ in range(300):
    svi.step(torch.full((20,), 2.0))
print(round(pyro.param("location").item(), 1))  # the posterior's mean is 1
assert "model" not in sys.modules
"""


def test_an_estimator_trains_with_the_core_dependencies_alone(stranger):
    done = stranger("-c", without(EXTRAS) + PROGRAM)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(1, abs=0.15)


def test_a_numeric_audit_takes_the_core_dependencies_alone(stranger):
    code = without(EXTRAS) + textwrap.dedent("""
        from elbolab.__main__ import main
        sys.exit(main(["audit", "loss.py:loss_function"]))
    """)
    done = stranger("-c", code)
    assert done.returncode == 0, done.stderr
    assert "beta = 1" in done.stdout


def test_what_needs_an_extra_says_which(stranger):
    done = stranger("-c", without(EXTRAS) + "import elbolab.studying.pictures")
    assert "pip install 'elbolab[plots]'" in done.stderr


def test_importing_the_library_is_importing_pyro_and_little_more():
    """What else there is, such as tracing and pictures, is imported when it is used."""
    code = "import sys, pyro, pyro.infer\nbefore = set(sys.modules)\nimport elbolab\nprint(*({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    more = set(done.stdout.split())
    assert "elbolab" in more
    assert {name for name in more if not name.startswith("elbolab")} <= {"numpy.core"}, more
