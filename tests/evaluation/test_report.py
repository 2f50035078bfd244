"""The report of an evaluation, with any names and with moved images."""

import shutil
import sys
import zipfile

import numpy as np
import pytest
from collection_files import save_indexed
from commands import one_line

from similar_images.collection.images import Collection
from similar_images.evaluation import plots, report
from similar_images.evaluation.evaluation import evaluate, open_configs
from similar_images.evaluation.labels import choose_labels
from similar_images.networks.description import NetworkDescription


def vectors(folder, names: list[str]):
    """Write random vectors of these names with an index; return the file of the vectors."""
    array = np.random.default_rng(0).normal(size=(len(names), 8)).astype(np.float32)
    return save_indexed(folder / "v.npy", array, names, recipe="IVF2,Flat")


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_report_of_moved_images_shows_names_and_remedy(photos, tmp_path, kind):
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.jpg"))
    place = photos
    if kind == "archive":
        place = tmp_path / "photos.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for name in names:
                archive.write(photos / name, name)
    configs = open_configs(vectors(tmp_path, names), images=place)
    if kind == "archive":
        place.unlink()
    else:
        shutil.rmtree(place)
    page = written(tmp_path, evaluate(configs, k=3))
    assert f"images cannot be read\nin {place}, so the page shows their names" in page
    assert "give the folder or archive of the images with -d" in page
    assert "red/0.jpg" in page and "<img" not in page


def written(folder, evaluations) -> str:
    """Write the report and return it."""
    report.write(folder / "r.html", evaluations)
    return (folder / "r.html").read_text(encoding="utf-8")


def test_report_says_that_the_folder_is_unknown(tmp_path):
    configs = open_configs(vectors(tmp_path, [f"{row}.jpg" for row in range(9)]))
    assert "because their folder is not known" in written(tmp_path, evaluate(configs, k=3))


def test_plots_keep_dollars_in_names(tmp_path):
    names = [f"$a_{{$ {row % 2} x^$/{row}.jpg" for row in range(40)]
    configs = open_configs(vectors(tmp_path, names))
    evaluations = evaluate(configs, k=3, labels=choose_labels(None, names))
    titles = ["$\\frac$ one", "two $$ three$"]
    for draw in (plots.costs, plots.copy_shares):
        copies = [one._replace(ranks={"crop": np.array([1, 0])}) for one in evaluations]
        drawing = plots.in_page_style(draw, titles, copies)
        assert "$\\frac$ one</text>" in drawing and "two $$ three$</text>" in drawing
    assert "$a_{$ 0 x^$</text>" in written(tmp_path, evaluations)


def test_recall_axis_ends_at_one(tmp_path, monkeypatch):
    evaluations = evaluate(open_configs(vectors(tmp_path, [f"{row}.jpg" for row in range(60)])), k=3)
    figures = []
    monkeypatch.setattr(plots, "as_svg", lambda figure, _: figures.append(figure))
    plots.in_page_style(plots.costs, ["index", "exact"], evaluations)
    assert [axis.get_ylim()[1] for axis in figures[0].axes] == [1, 1]


def test_unlabelled_images_are_no_queries(tmp_path):
    names = [f"{row}.jpg" for row in range(20)] + [f"{kind}/{row}.jpg" for kind in "ab" for row in range(10)]
    events = []
    configs = open_configs(vectors(tmp_path, names))
    one = evaluate(configs, k=3, labels=choose_labels(None, names), progress=events.append)[0]
    assert events[0].note == f"{tmp_path / 'v.npy'}: 20 of 40 images have no label"
    assert one.queries[one.relevance.counts].min() >= 20 and one.relevance.counts.sum() == 20
    content = report.summary(one)["labels"]
    assert (content["classes"], content["queries"], content["unlabelled"]) == (2, 20, 20)
    assert "20 of its images have no label" in written(tmp_path, [one])


def test_csv_cells_are_no_formulas(tmp_path):
    (one, _) = evaluate(open_configs(vectors(tmp_path, [f"{row}.jpg" for row in range(9)])), k=3)
    renamed = Collection(one.config.collection.vectors._replace(path=tmp_path / "v.npy"), one.config.collection.index)
    renamed.vectors = renamed.vectors._replace(network=NetworkDescription("=1+1", dimension=8))
    assert "'=1+1" in report.as_csv([one._replace(config=one.config._replace(collection=renamed))])


def test_table_escapes_control_characters(tmp_path):
    (one, _) = evaluate(open_configs(vectors(tmp_path, [f"{row}.jpg" for row in range(9)])), k=3)
    collection = one.config.collection
    other = Collection(collection.vectors._replace(path=tmp_path / "\x1b[31mred.npy"), collection.index)
    table = report.as_table([one, one._replace(config=one.config._replace(collection=other))])
    assert "\x1b" not in table and "\\x1b[31mred" in table


def test_report_without_matplotlib_fails_at_once(run, tmp_path, monkeypatch):
    vectors(tmp_path, [f"{row}.jpg" for row in range(9)])
    monkeypatch.delitem(sys.modules, "similar_images.evaluation.plots")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    refused = one_line(run("evaluate", "v.npy", "--report", "r.html"))
    assert refused == "Error: a report needs matplotlib: pip install 'similar-images[evaluate]'\n"
    assert run("evaluate", "v.npy", "--csv").returncode == 0, "the table needs none"
