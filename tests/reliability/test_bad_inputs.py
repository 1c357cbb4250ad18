"""What people get wrong, over all commands: one clear message of at most three lines and the documented code."""

import io
import json
import shutil
import sys
import zipfile

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import evaluate
import train
from compare.__main__ import main as compare
from elbolab.__main__ import main as elbolab_command
from training import checkpoint

PARTS = ("data", "prior", "likelihood", "guide", "network", "elbo", "optimizer")
WHOLE = ("epochs", "batch_size", "beta_warmup", "latent", "seed")
REAL = ("beta", "clip", "optimizer.lr")


def said_once(capsys, main, arguments, codes):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    message = capsys.readouterr().err
    assert stopped.value.code in codes, f"{stopped.value.code}: {message}"
    assert "Traceback" not in message
    lines = [line for line in message.splitlines() if line.strip()]
    assert 1 <= len(lines) <= 3, message
    assert "error: " in lines[-1] or lines[0].startswith("error: ")
    assert "weights_only" not in message
    assert "allow_pickle" not in message
    return message


def options():
    """Options of train.py with values that they cannot have."""
    for name in WHOLE:
        for value in ("many", "1.5", "nan", "[1]", "{}", "null", "1e400"):
            yield f"--{name}", value
        if name != "seed":
            yield f"--{name}", "-1"
        if name not in ("seed", "beta_warmup"):
            yield f"--{name}", "0"
    for name in REAL:
        for value in ("much", "nan", "-1", "[1]", "{}"):
            yield f"--{name}", value
    for value in ("0", "inf"):
        yield "--beta", value
    yield "--clip", "0"
    for name in PARTS:
        for value in ("Nothing", "1", "[]", "os.system", "nowhere.Nothing", "a b"):
            yield f"--{name}", value
        yield f"--{name}.nothing", "1"
    for value in ("0", "-3", "[400, 0]", "wide", "[a]", "1.5", "{}"):
        yield "--hidden", value
    for value in ("gpu", "cuda:99", "1", "cpu:x", "mps"):
        yield "--device", value
    for value in ("double", "16", ""):
        yield "--precision", value
    for value in ("maybe", "1", ""):
        yield "--compile", value
    for value in ("LBFGS", "SparseAdam", "Muon", "Optimizer"):
        yield "--optimizer", value
    for value in ("JitTrace_ELBO", "RenyiELBO", "Trace_MMD", "TraceGraph_ELBO", "ELBO"):
        yield "--elbo", value
    yield from (("--checkpoint", "worst"), ("--checkpoint", "best"), ("--nothing", "1"), ("--config", "nowhere.yaml"))
    yield "--config", sys.executable
    yield from (("--latent", "100000000"), ("--hidden", "1000000000"), ("--hidden", "[1000000, 1000000]"))


PAIRS = [
    ("--network Convolutional --network.channels 0", 2),
    ("--network Convolutional --network.channels -1", 2),
    ("--network Nothing --network.channels 1", 2),
    ("--prior Mixture --prior.components 0", 2),
    ("--prior Mixture --prior.components many", 2),
    ("--prior StudentT --prior.df -1", 2),
    ("--prior VampPrior --prior.components 0", 2),
    ("--prior TwoLevel --guide TwoLevelNormal --latent 1", 2),
    ("--prior TwoLevel --prior.top 9 --latent 4", 2),
    ("--prior SplineFlow --latent 1", 2),
    ("--prior Bernoulli", 2),
    ("--prior OneHot --guide Bernoulli", 2),
    ("--prior RelaxedBernoulli --prior.temperature 0 --guide RelaxedBernoulli", 2),
    ("--guide Bernoulli", 2),
    ("--guide LowRankNormal --guide.rank 0", 2),
    ("--guide Mixture --guide.components 0", 2),
    ("--guide Flow --latent 1", 2),
    ("--guide DiagonalNormal --guide.head wrong", 2),
    ("--likelihood Normal --likelihood.scale 0", 2),
    ("--likelihood Normal --likelihood.scale -1", 2),
    ("--likelihood Beta", 2),
    ("--likelihood Multinomial", 2),
    ("--likelihood Categorical", 2),
    ("--likelihood HeteroscedasticNormal --likelihood.floor 0", 2),
    ("--elbo RLOO --elbo.num_particles 1", 2),
    ("--elbo RLOO --elbo.num_particles 0", 2),
    ("--elbo DisARM", 2),
    ("--elbo IWAE --elbo.sampling nothing", 2),
    ("--data Arrays", 2),
    ("--data Digits --data.binarize no", 2),
    ("--data Digits --data.binarize maybe", 2),
    ("--data Digits --data.dequantize maybe", 2),
    ("--data Digits --data.path x", 2),
    ("--resume", 2),
    ("--resume --overwrite", 2),
    ("--resume --checkpoint best", 2),
    ("positional", 2),
    ("--latent", 2),
    ("--latent 2 3", 2),
]
CASES = [((name, value), (2,)) for name, value in options()] + [(tuple(text.split()), (code,)) for text, code in PAIRS]


@pytest.mark.parametrize(("arguments", "codes"), CASES, ids=lambda part: " ".join(map(str, part))[:50])
def test_options_of_train(arguments, codes, tmp_path, capsys):
    said_once(capsys, train.main, ["--epochs", 1, *arguments, "--out", tmp_path / "run"], codes)
    assert not (tmp_path / "run").exists()


def png():
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "PNG")
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def encrypted():
    """Marked so in its headers: what a reader goes by."""
    content = bytearray(npz(train=np.zeros((20, 2))))
    content[6] |= 1
    central = content.find(b"PK\x01\x02")
    content[central + 8] |= 1
    return bytes(content)


def member(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("train.npy", content)
    return file.getvalue()


def declaring(shape):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


GOOD = np.zeros((20, 2), np.float32)
FILES = {
    "nothing": b"",
    "text": b"1,2,3\n4,5,6\n",
    "png": png(),
    "pickle": b"\x80\x04N.",
    "half npy": npy(GOOD)[:90],
    "half npz": npz(train=GOOD)[:90],
    "longer npy": npy(GOOD) + b"x",
    "objects": npy(np.array([[{}]] * 20)),
    "objects in npz": npz(train=np.array([[None]] * 20)),
    "strings": npy(np.array([["a"]] * 20)),
    "complex": npy(GOOD.astype(complex)),
    "dates": npy(GOOD.astype("datetime64[s]")),
    "one axis": npy(np.zeros(20)),
    "no axis": npy(np.zeros(())),
    "no data": npy(np.zeros((0, 2))),
    "one datum": npy(np.zeros((1, 2))),
    "nine data": npy(np.zeros((9, 2))),
    "no pixels": npy(np.zeros((20, 0))),
    "nan": npy(np.full((20, 2), np.nan)),
    "inf": npy(np.full((20, 2), np.inf)),
    "1e30": npy(np.full((20, 2), 1e30)),
    "1e300": npy(np.full((20, 2), 1e300)),
    "no train": npz(x=GOOD),
    "empty npz": npz(),
    "no test": npz(train=GOOD, test=np.zeros((0, 2))),
    "one test": npz(train=GOOD, test=np.zeros((1, 2))),
    "other test": npz(train=GOOD, test=np.zeros((20, 3))),
    "labels 2-d": npz(train=GOOD, train_labels=np.zeros((20, 1))),
    "labels nan": npz(train=GOOD, train_labels=np.full(20, np.nan)),
    "labels short": npz(train=GOOD, train_labels=np.zeros(3)),
    "labels words": npz(train=GOOD, train_labels=np.array(["a"] * 20)),
    "test labels": npz(train=GOOD, test=GOOD, test_labels=np.zeros(3)),
    "encrypted": encrypted(),
    "member": member(b"hello"),
    "empty member": member(b""),
    "10^9 rows": declaring((10**9, 784)),
    "10^9 rows in npz": member(declaring((10**9, 784))),
    "10^30 rows": declaring((10**30, 784)),
}


@pytest.mark.parametrize("part", ["guide", "prior", "likelihood"])
def test_options_that_the_program_gives_itself_are_not_suggested(part, tmp_path, capsys):
    given = {"guide": "LowRankNormal", "prior": "Mixture", "likelihood": "Normal"}[part]
    options = [f"--{part}", given, f"--{part}.nothing", 1, "--out", tmp_path / "run"]
    message = said_once(capsys, train.main, options, (2,))
    assert "There are: " in message
    offered = message.partition("There are: ")[2].split(", ")
    assert not {"self", "shape", "latent", "network", "z_dim", "decoder"} & {word.strip() for word in offered}


@pytest.mark.parametrize("csr", [False, True], ids=["dense", "csr"])
@pytest.mark.parametrize("name", FILES)
def test_files_of_data(name, csr, tmp_path, capsys):
    (tmp_path / "x").write_bytes(FILES[name])
    arguments = ["--data", "Arrays", "--data.path", tmp_path / "x", "--data.csr", str(csr).lower()]
    message = said_once(capsys, train.main, [*arguments, "--out", tmp_path / "run"], (3,))
    assert name != "encrypted" or csr or "`train` is encrypted" in message


@pytest.mark.parametrize("path", ["nowhere.npy", ".", "nowhere/x.npz", "x" * 300])
def test_paths_of_data(path, tmp_path, capsys):
    said_once(capsys, train.main, ["--data", "Arrays", "--data.path", path, "--out", tmp_path / "run"], (3,))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    rng = np.random.default_rng(0)
    np.savez(folder / "x.npz", train=(rng.random((30, 6)) < 0.5) * 1.0, test=(rng.random((10, 6)) < 0.5) * 1.0)
    options = f"--data Arrays --data.path {folder}/x.npz --latent 2 --hidden 4 --epochs 1 --out {folder}/run"
    assert train.main(options.split()) == 0
    return folder / "run"


def replaced(name, content):
    def change(folder):
        (folder / name).write_bytes(content)

    return change


def saved(**changes):
    """A checkpoint with a checksum that fits and other contents."""

    def change(folder):
        state = checkpoint.load(folder, "cpu")
        checkpoint.save(folder, state | changes)

    return change


def without(name):
    def change(folder):
        state = checkpoint.load(folder, "cpu")
        checkpoint.save(folder, {k: v for k, v in state.items() if k != name})

    return change


def configured(**changes):
    def change(folder):
        settings = yaml.safe_load((folder / "config.yaml").read_text()) | changes
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))

    return change


DAMAGES = {
    "checkpoint empty": (replaced("checkpoint.pt", b""), 5),
    "checkpoint text": (replaced("checkpoint.pt", b"hello"), 5),
    "sidecar empty": (replaced("checkpoint.pt.sha256", b""), 5),
    "sidecar text": (replaced("checkpoint.pt.sha256", b"\xff\xfe"), 5),
    "no dictionary": (lambda folder: checkpoint.save(folder, [1, 2]), 5),
    "a number": (lambda folder: checkpoint.save(folder, 1), 5),
    "empty dictionary": (lambda folder: checkpoint.save(folder, {}), 5),
    **{f"without {name}": (without(name), 5) for name in ("step", "objective", "optimizer", "generators", "totals")},
    "step text": (saved(step="1"), 5),
    "step negative": (saved(step=-1), 5),
    "step true": (saved(step=True), 5),
    "objective empty": (saved(objective={}), 5),
    "objective other": (saved(objective={"w": 1}), 5),
    "optimizer list": (saved(optimizer=[]), 5),
    "optimizer empty": (saved(optimizer={}), 5),
    "generators text": (saved(generators="x"), 5),
    "totals text": (saved(totals=["x"]), 5),
    "history text": (saved(history=["x"]), 5),
    "history without a step": (saved(history=[{"loss": 1.0}]), 5),
    "record text": (saved(record="x"), 5),
    "config hello": (replaced("config.yaml", b"hello"), 2),
    "config empty": (replaced("config.yaml", b""), 2),
    "config broken": (replaced("config.yaml", b"a: [1,\n  b: }"), 2),
    "config bytes": (replaced("config.yaml", b"\xff\xfe\x00"), 2),
    "config tag": (replaced("config.yaml", b"!!python/object/apply:os.system ['touch pwned']"), 2),
    "config gone": (lambda folder: (folder / "config.yaml").unlink(), 2),
    "config latent": (configured(latent=7), 5),
    "config latent text": (configured(latent="x"), 2),
    "config prior": (configured(prior={"class_path": "model.priors.Nothing"}), 2),
    "config prior other": (configured(prior={"class_path": "model.priors.Laplace"}), 5),
    "config data": (configured(data={"class_path": "data.Digits"}), 5),
}


@pytest.mark.parametrize("command", ["evaluate", "resume"])
@pytest.mark.parametrize("name", DAMAGES)
def test_folders_of_runs(name, command, run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    for kept in ("previous", "best"):
        (folder / checkpoint.FILES[kept]).unlink(missing_ok=True)
    change, code = DAMAGES[name]
    change(folder)
    if command == "evaluate":
        said_once(capsys, evaluate.main, [folder, "--samples", 2], (2, 5) if "config" in name else (code,))
    else:
        said_once(
            capsys, train.main, ["--out", folder, "--resume", "--epochs", 2], (2, 5) if "config" in name else (code,)
        )


def test_generators_that_pytorch_does_not_take_are_said(run, tmp_path, capsys):
    folder = shutil.copytree(run, tmp_path / "run")
    saved(generators=[{"cpu": torch.zeros(3, dtype=torch.uint8), "cuda": []}])(folder)
    message = said_once(capsys, train.main, ["--out", folder, "--resume", "--epochs", 2], (5,))
    assert "generators are not PyTorch's" in message


@pytest.mark.parametrize(
    "arguments",
    [
        "nowhere",
        "",
        "{run} --samples 0",
        "{run} --samples many",
        "{run} --memory 0",
        "{run} --shown 1",
        "{run} --sampels 2",
    ]
    + ["{run} --device gpu", "{run} --checkpoint worst", "{run} other", "/dev/null", "{run}/config.yaml"],
)
def test_evaluate(arguments, run, capsys):
    said_once(capsys, evaluate.main, arguments.format(run=run).split(), (2,))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("losses --batch 1", 2),
        ("losses --batch many", 2),
        ("losses nowhere", 2),
        ("losses --json /dev/null/x.json", 2),
        ("losses --prior Nothing", 2),
        ("losses --data Arrays --data.path nowhere.npy", 3),
        ("gradients --estimators Foo", 2),
        ("gradients --estimators RLOO:nothing=1", 2),
        ("gradients --estimators RLOO:nothing", 2),
        ("gradients --particles 0", 2),
        ("gradients --particles many", 2),
        ("gradients --replicates 1", 2),
        ("gradients --points nowhere", 2),
        ("gradients --oracle Nothing", 2),
        ("gradients --memory 0", 2),
        ("gradients --steps 0", 2),
        ("gradients --batch 0", 2),
        ("gradients nowhere", 2),
        ("gradients --out /dev/null/x", 2),
        ("gradients --guide Nothing", 2),
        ("speed --batches []", 2),
        ("speed --batches [0]", 2),
        ("speed --networks []", 2),
        ("speed --networks [nothing]", 2),
        ("speed --rounds 2", 2),
        ("speed --device gpu", 2),
        ("speed --binarize maybe", 2),
        ("speed --out /dev/null/x", 2),
        ("prove --nothing 1", 2),
        ("nothing", 2),
    ],
)
def test_compare(arguments, code, capsys):
    said_once(capsys, compare, arguments.split(), (code,))


@pytest.mark.parametrize(
    "arguments",
    [
        "nowhere.py:loss",
        "nowhere.py",
        "{file}",
        "{file}:nothing",
        "{file}:loss --json /nowhere/x.json",
        "{broken}:loss",
    ],
)
def test_audit(arguments, tmp_path, capsys):
    (tmp_path / "loss.py").write_text("def loss(x):\n    return x\n")
    (tmp_path / "broken.py").write_text("def loss(x:\n")
    text = arguments.format(file=tmp_path / "loss.py", broken=tmp_path / "broken.py")
    said_once(capsys, elbolab_command, ["audit", *text.split()], (2,))


def test_an_unwritable_folder_is_found_before_anything_is_prepared(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train, "Experiment", lambda **_: pytest.fail("prepared"))
    (tmp_path / "file").write_text("")
    said_once(capsys, train.main, ["--out", tmp_path / "file" / "run"], (2,))
    said_once(capsys, train.main, ["--out", tmp_path / "file"], (2,))
    said_once(capsys, train.main, ["--out", "/proc/run"], (2,))


def test_a_full_disk_is_said(small, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", str(tmp_path / "run/checkpoint.pt"))

    monkeypatch.setattr("training.checkpoint.write_atomically", full)
    message = said_once(capsys, train.main, [*small, "--out", tmp_path / "run"], (6,))
    assert "No space left on device" in message


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_too_little_memory_is_said(small, tmp_path, capsys, monkeypatch, error):
    def out_of_memory(*_, **__):
        raise error

    monkeypatch.setattr("training.experiment.room.check_parameters", out_of_memory)
    assert "not enough memory" in said_once(capsys, train.main, [*small, "--out", tmp_path / "run"], (2,))


def test_a_batch_that_has_no_room_names_one_that_has(small, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("training.room.available", lambda: 100_000)
    arguments = [*small, "--elbo", "IWAE", "--elbo.num_particles", 500, "--out", tmp_path / "run"]
    message = said_once(capsys, train.main, arguments, (2,))
    assert "would fit" in message


@pytest.mark.usefixtures("undrawn")
def test_a_broken_summary_is_written_anew(run, capsys):
    (run / "summary.json").write_text("")
    assert evaluate.main([str(run), "--samples", "2"]) == 0
    assert "test" in json.loads((run / "summary.json").read_text())


def test_there_are_enough_of_them():
    assert len(CASES) + 2 * len(FILES) + 2 * len(DAMAGES) + 12 + 30 + 6 >= 200
