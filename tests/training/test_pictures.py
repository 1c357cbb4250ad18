"""What a run's pictures show: colours as colours, codes with their probabilities, words in the place of profiles."""

from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.lines import AxLine
from pyro.distributions import constraints

import evaluate
import train
from data import Arrays, DataError
from training import Experiment, Run, RunFolder, figures
from training.cells import Columns, Image, Profile, cell
from training.pictures import Pictures
from training.run import posterior_centres, posterior_means

mpl.use("agg")


def pictures(options, tmp_path, shown=4):
    out = tmp_path / "run"
    assert train.main([*options.split(), "--epochs", "1", "--hidden", "8", "--out", str(out)]) == 0
    lab = Experiment.load(RunFolder(out), device="cpu")
    lab.objective.eval()
    return Pictures(lab, posterior_means(lab, lab.dataset.test), shown)


def words(figure):
    return "\n".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def images(figure):
    return [image.get_array() for ax in figure.axes for image in ax.get_images()]


def arrays(tmp_path, **content):
    np.savez(tmp_path / "x.npz", **content)
    return f"--data Arrays --data.path {tmp_path / 'x.npz'}"


def test_colours_are_drawn_as_colours_and_other_channels_side_by_side():
    data = np.random.default_rng(0).random((5, 3, 4, 6)).astype(np.float32)
    figure = figures.grid([data], cell(data, None), "")
    np.testing.assert_allclose(images(figure)[0], np.moveaxis(data[0], 0, -1))
    two = data[:, :2]
    assert images(figures.grid([two], cell(two, None), ""))[0].shape == (4, 12)


def test_a_datum_is_shown_as_what_it_is():
    x = np.arange(24.0).reshape(2, 12)
    assert isinstance(cell(x.reshape(2, 3, 4), None), Image)
    assert isinstance(cell(x, None), Profile)
    assert isinstance(cell(x, [f"w{i}" for i in range(12)]), Columns)


def test_a_bag_of_words_is_shown_by_its_words():
    counts = np.array([[0, 3, 0, 1, 0, 0, 0, 9], [0, 0, 0, 0, 0, 0, 2, 0]], np.float32)
    names = [f"w{i}" for i in range(8)]
    ax = Figure().subplots()
    cell(counts, names).draw(ax, counts[0])
    assert ax.texts[0].get_text().splitlines() == ["w7 9", "w1 3", "w3 1"]
    standard = np.random.default_rng(0).normal(size=(50, 8))
    ax = Figure().subplots()
    cell(standard, names).draw(ax, np.array([0, 0, -5.0, 0, 0, 0, 0, 0]))
    assert ax.texts[0].get_text().splitlines()[0] == "w2 -5"


def test_labels_have_their_names_and_many_numbers_are_a_scale():
    codes = np.random.default_rng(0).normal(size=(60, 2))
    named = figures.latent_space(codes, figures.Labels(np.arange(60) % 2, ("cat", "dog"), 60), None)
    assert [text.get_text() for text in named.axes[0].get_legend().get_texts()] == ["cat", "dog"]
    scale = figures.latent_space(codes, figures.Labels(np.linspace(0, 1, 60), None, 60), None)
    assert scale.axes[0].get_legend() is None
    assert len(scale.axes) == 2, "a colour bar"


def test_a_walk_shows_both_data_at_its_ends(tmp_path):
    found = pictures("--data Digits --latent 3", tmp_path, shown=6)
    shown = images(found.walk())
    test = found.test[found.chosen].numpy()
    np.testing.assert_array_equal(shown[0], test[0])
    np.testing.assert_array_equal(shown[5], test[3])
    with torch.no_grad():
        decoded = found.lab.model.decode(found.means[found.chosen[[0, 3]]]).mean
    np.testing.assert_allclose(np.stack([shown[1], shown[4]]), decoded, rtol=1e-5)


def test_a_single_latent_is_a_line(tmp_path):
    drawn = dict(pictures("--data Digits --latent 1", tmp_path).all())
    assert "walk" in drawn
    axis = drawn["latent"].subfigs[0].axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == [str(digit) for digit in range(10)]


@pytest.mark.parametrize(("prior", "latent", "codes"), [("Bernoulli", 3, 8), ("OneHot", 5, 5)])
def test_every_code_is_shown_once_with_its_probability(prior, latent, codes, tmp_path):
    options = f"--data Digits --prior {prior} --guide {prior} --elbo Enumeration --latent {latent}"
    found = pictures(options, tmp_path)
    drawn = dict(found.all())
    assert "walk" not in drawn, "between two codes there is none"
    assert ("latent" in drawn) == (prior == "Bernoulli"), "one of K is seen in its shares"
    axes = [ax for ax in drawn["codes"].axes if ax.get_images()]
    assert len(axes) == codes
    share = {"p": 0.0, "q": 0.0}
    for ax in axes:
        for part in ax.get_title().splitlines()[1].split(", "):
            share[part[0]] += float(part[2:].strip("<%"))
    assert share == pytest.approx({"p": 100, "q": 100}, abs=codes), "of the prior and of the test set, rounded each"
    centres = posterior_centres(found.lab, found.test[:9])
    assert set(centres.unique().tolist()) <= {0.0, 1.0}
    x = found.test[:9].numpy()
    with torch.no_grad():
        expected = found.lab.model.decode(centres).mean
    np.testing.assert_allclose(Run(tmp_path / "run", device="cpu").reconstruct(x), expected, rtol=1e-5)


def test_of_many_codes_the_used_ones_are_shown(tmp_path):
    found = pictures("--data Digits --prior Bernoulli --guide Bernoulli --elbo DisARM --latent 9", tmp_path)
    assert "most used codes" in words(found.codes())


def test_a_code_of_many_bits_is_cut_where_it_is_too_long():
    many = SimpleNamespace(
        lab=SimpleNamespace(model=SimpleNamespace(prior=SimpleNamespace(support=constraints.boolean)))
    )
    for count, said in ((9, "1" * 9), (24, f"{'1' * 12}\n{'1' * 12}"), (25, f"{'1' * 12}\n{'1' * 11}…")):
        assert Pictures._code(many, torch.ones(count)) == said


def test_a_line_of_the_plane_joins_what_has_the_same_loss():
    figure = figures.rate_distortion([("one", [80.0, 90.0], [20.0, 30.0])], "")
    lines = [line for line in figure.axes[0].lines if isinstance(line, AxLine)]
    said = {float(text.get_text()): sum(text.xy) for text in figure.axes[0].texts}
    assert len(lines) == len(said) >= 2
    assert all(line.get_slope() == -1 for line in lines)
    assert sorted(sum(line.get_xy1()) for line in lines) == pytest.approx(sorted(said))
    assert list(said) == pytest.approx(list(said.values())), "the number is where the line is"


def test_so_many_data_are_shown_as_were_asked_for(tmp_path):
    flat = arrays(tmp_path, train=np.random.default_rng(0).normal(size=(80, 5)).astype(np.float32))
    assert pictures(f"{flat} --likelihood Normal --latent 2", tmp_path, shown=6).shown == 6


def test_a_profile_fills_its_picture():
    ax = Figure().subplots()
    Profile(0.0, 2.0).draw(ax, np.array([0.0, 2.0, 1.0]))
    low, high = ax.get_ylim()
    assert -0.3 < low < 0
    assert 2 < high < 2.3


def test_names_beside_bars_do_not_cover_one_another():
    panels = [(f"z[{k}]", [f"column {i}" for i in range(12)], np.linspace(1, -1, 12)) for k in range(5)]
    figure = figures.top_columns(panels, "", "")
    figure.draw_without_rendering()
    for ax in figure.axes[:5]:
        boxes = sorted((label.get_window_extent() for label in ax.get_yticklabels()), key=lambda box: box.y0)
        assert all(low.y1 <= high.y0 for low, high in zip(boxes[:-1], boxes[1:], strict=True))


def test_the_columns_that_a_latent_moves_are_named(tmp_path):
    """A decoder of which it is known: z[1] raises column `up` and lowers `down`; `still` never changes in the data."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(rng.normal(size=(40, 3)), columns=["up", "other", "down"]).assign(still=1.0)
    frame.to_csv(tmp_path / "t.csv", index=False)
    found = pictures(f"--data Table --data.path {tmp_path}/t.csv --likelihood Normal --latent 2", tmp_path)
    found._decoded = lambda z: (z[:, 1:] * torch.tensor([1.0, 0.0, -2.0, 9.0])).numpy()
    panels = {}
    for ax in found.top_columns().axes[:2]:
        names = [label.get_text() for label in ax.get_yticklabels()]
        panels[ax.get_title()] = dict(zip(names, [bar.get_width() for bar in ax.patches], strict=True))
    spread = found.means[:, 1].std().item()
    deviation = found.lab.dataset.train.std(0)
    assert panels["z[1]"]["up"] == pytest.approx(2 * spread / deviation[0].item(), rel=1e-5)
    assert panels["z[1]"]["down"] == pytest.approx(-4 * spread / deviation[2].item(), rel=1e-5)
    assert panels["z[1]"]["still"] == 0
    assert set(panels["z[0]"].values()) == {0.0}


def test_pictures_that_a_run_has_no_more_are_removed(tmp_path):
    assert train.main(f"--data Digits --latent 2 --hidden 4 --epochs 1 --out {tmp_path}/run".split()) == 0
    (tmp_path / "run/figures").mkdir()
    (tmp_path / "run/figures/codes.png").write_bytes(b"old")
    (tmp_path / "run/figures/mine.png").write_bytes(b"mine")
    assert evaluate.main([f"{tmp_path}/run", "--samples", "2", "--shown", "2"]) == 0
    assert not (tmp_path / "run/figures/codes.png").exists()
    assert (tmp_path / "run/figures/mine.png").exists()


def test_channels_last_are_turned_and_it_is_said(tmp_path, capsys):
    x = np.random.default_rng(0).random((30, 8, 6, 3)).astype(np.float32)
    options = arrays(tmp_path, train=x) + " --likelihood ContinuousBernoulli --latent 2 --hidden 4 --epochs 1"
    assert train.main([*options.split(), "--out", str(tmp_path / "run")]) == 0
    said = "(30, 8, 6, 3) are taken for images with the channels last, and turned to (30, 3, 8, 6)"
    assert said in capsys.readouterr().err
    assert evaluate.main([f"{tmp_path}/run", "encode", f"{tmp_path}/x.npz"]) == 0
    assert said in capsys.readouterr().err
    codes = np.load(tmp_path / "run/codes.npz")["codes"]
    np.testing.assert_allclose(codes, Run(tmp_path / "run", device="cpu").encode(x.transpose(0, 3, 1, 2)), rtol=1e-5)


def test_what_may_be_no_image_is_left_as_it_is(tmp_path):
    for shape in ((20, 3, 8, 3), (20, 8, 6, 2), (20, 8, 3)):
        np.save(tmp_path / "x.npy", np.zeros(shape, np.float32))
        assert Arrays(tmp_path / "x.npy").splits().train.shape[1:] == shape[1:]
    np.save(tmp_path / "x.npy", np.zeros((20, 8, 6, 3), np.float32))
    with pytest.raises(DataError, match="in memory alone"):
        Arrays(tmp_path / "x.npy", in_memory="no").splits()
