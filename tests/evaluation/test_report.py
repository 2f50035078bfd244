"""The report of an evaluation, whatever its names hold and wherever its images are."""

import os
import shutil
import sys
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from similar_images.cli.evaluate import main
from similar_images.collection.images import Collection
from similar_images.evaluation import plots, report
from similar_images.evaluation.evaluation import evaluate, open_configs
from similar_images.evaluation.labels import choose_labels
from similar_images.index.builder import build
from similar_images.vectors.store import open_vectors


def vectors(folder, names: list[str]):
    """Write random vectors of these names with an index; return the file of the vectors."""
    array = np.random.default_rng(0).normal(size=(len(names), 8)).astype(np.float32)
    np.save(folder / "v.npy", array)
    (folder / "v.txt").write_text("".join(f"{name}\n" for name in names))
    build(open_vectors(folder / "v.npy"), folder / "v.faiss.index", "IVF2,Flat")
    return folder / "v.npy"


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_a_report_of_images_that_have_moved_shows_their_names_and_the_remedy(photos, tmp_path, kind):
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
    report.write(tmp_path / "r.html", evaluate(configs, k=3))
    page = (tmp_path / "r.html").read_text()
    assert f"images cannot be read\nin {place}, so the page shows their names" in page
    assert "give the folder or archive of the images with -d" in page
    assert "red/0.jpg" in page and "<img" not in page


def test_a_report_of_images_whose_folder_is_not_known_says_so(tmp_path):
    configs = open_configs(vectors(tmp_path, [f"{row}.jpg" for row in range(9)]))
    assert "because their folder is not known" in report.page(evaluate(configs, k=3))


def test_names_with_dollars_are_drawn_as_they_are(tmp_path):
    names = [f"$a_{{$ {row % 2} x^$/{row}.jpg" for row in range(40)]
    configs = open_configs(vectors(tmp_path, names))
    evaluations = evaluate(configs, k=3, labels=choose_labels(None, names))
    titles = ["$\\frac$ one", "two $$ three$"]
    for draw in (plots.costs, plots.copies):
        copies = [one._replace(ranks={"crop": np.array([1, 0])}) for one in evaluations]
        drawing = plots.drawn(draw, titles, copies)
        assert "$\\frac$ one</text>" in drawing and "two $$ three$</text>" in drawing
    assert "$a_{$ 0 x^$</text>" in report.page(evaluations)


def test_the_axis_of_recall_ends_at_one(tmp_path, monkeypatch):
    evaluations = evaluate(open_configs(vectors(tmp_path, [f"{row}.jpg" for row in range(60)])), k=3)
    drawn = []
    monkeypatch.setattr(plots, "as_svg", lambda figure, _: drawn.append(figure))
    plots.drawn(plots.costs, ["index", "exact"], evaluations)
    assert [axis.get_ylim()[1] for axis in drawn[0].axes] == [1, 1]


def test_images_without_a_label_are_counted_and_their_queries_are_not(tmp_path):
    names = [f"{row}.jpg" for row in range(20)] + [f"{kind}/{row}.jpg" for kind in "ab" for row in range(10)]
    notes = []
    configs = open_configs(vectors(tmp_path, names))
    one = evaluate(configs, k=3, labels=choose_labels(None, names), note=notes.append)[0]
    assert notes == [f"{tmp_path / 'v.npy'}: 20 of 40 images have no label"]
    assert one.queries[one.relevance.asked].min() >= 20 and one.relevance.asked.sum() == 20
    content = report.summary(one)["labels"]
    assert (content["classes"], content["queries"], content["unlabelled"]) == (2, 20, 20)
    assert "20 of its images have no label" in report.page([one])


def test_cells_of_the_csv_hold_no_formula(tmp_path):
    (one, _) = evaluate(open_configs(vectors(tmp_path, [f"{row}.jpg" for row in range(9)])), k=3)
    renamed = Collection(one.config.collection.vectors._replace(path=tmp_path / "v.npy"), one.config.collection.index)
    renamed.vectors = renamed.vectors._replace(network={"name": "=1+1"})
    assert "'=1+1" in report.as_csv([one._replace(config=one.config._replace(collection=renamed))])


def test_escape_codes_in_names_do_not_reach_the_terminal(tmp_path):
    (one, _) = evaluate(open_configs(vectors(tmp_path, [f"{row}.jpg" for row in range(9)])), k=3)
    collection = one.config.collection
    other = Collection(collection.vectors._replace(path=tmp_path / "\x1b[31mred.npy"), collection.index)
    table = report.as_table([one, one._replace(config=one.config._replace(collection=other))])
    assert "\x1b" not in table and "\\x1b[31mred" in table


def test_without_matplotlib_a_report_is_refused_before_anything_is_measured(tmp_path, monkeypatch):
    file = vectors(tmp_path, [f"{row}.jpg" for row in range(9)])
    monkeypatch.delitem(sys.modules, "similar_images.evaluation.plots")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = CliRunner().invoke(main, [str(file), "--report", str(tmp_path / "r.html")])
    assert done.exit_code == 1 and done.stdout == ""
    assert done.stderr == "Error: a report needs matplotlib: pip install 'similar-images[evaluate]'\n"
    assert CliRunner().invoke(main, [str(file), "--csv"]).exit_code == 0, "the table needs none"


def test_altered_vectors_are_refused_whole(run, photos, tmp_path):
    assert run("extract", "-d", photos, "--network", "hog-colour").returncode == 0
    file = tmp_path / "photos_file_list.txt.saved_predictions.npy"
    time = file.stat().st_mtime_ns
    array = np.load(file)
    array[[3, 5]] = array[[5, 3]]
    np.save(file, array)
    os.utime(file, ns=(time, time))  # nothing shows that it was altered
    done = run("evaluate", "photos_file_list.txt")
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "was altered after it was made" in done.stderr
