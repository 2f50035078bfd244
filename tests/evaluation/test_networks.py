"""Networks compared on a sample of images, in Python and by the script."""

import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import replace

import colour_network
import numpy as np
import pytest
from collection_files import save_vectors
from commands import one_line, program
from PIL import Image

from similar_images.evaluation import network_report, networks
from similar_images.evaluation.evaluation import precision
from similar_images.evaluation.labels import choose_labels, folder_labels, sampled
from similar_images.evaluation.networks import as_words, compare
from similar_images.index.builder import BuildRequest, build
from similar_images.index.exact import normalise
from similar_images.index.quality import confidence_interval
from similar_images.networks import loader
from similar_images.networks.catalog import Encoder
from similar_images.vectors.store import open_vectors

NETWORKS = ("efficientnetlite0", "hog-colour")
NO_HUB = {"HF_ENDPOINT": "http://127.0.0.1:9"}  # nothing answers there


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    return colour_network.saved(tmp_path_factory.mktemp("networks") / "colours")


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    """Four folders of pictures that differ by the direction of stripes, in any colour."""
    folder, random = tmp_path_factory.mktemp("stripes") / "stripes", np.random.default_rng(0)
    for kind, (dx, dy) in {"flat": (0, 1), "steep": (1, 0), "rising": (1, 1), "falling": (1, -1)}.items():
        (folder / kind).mkdir(parents=True)
        for number in range(8):
            y, x = np.mgrid[:96, :96]
            wave = np.sin((dx * x + dy * y) / random.uniform(3, 5))[..., None]
            pixels = 128 + 60 * wave * random.uniform(0.3, 1, 3) + random.uniform(-50, 50, 3)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / kind / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def compared(stripes, colours):
    """A network of colours, which do not matter here, and a network of directions."""
    return compare(stripes, [str(colours), "hog-colour"], k=3)


def test_measures_match_network_vectors(stripes):
    found = compare(stripes, NETWORKS, k=3)
    assert [one.encoded.network for one in found.networks] == list(NETWORKS)
    assert (found.images, found.total, found.labels.source, found.measure) == (32, 32, "folders", "mAP")
    names = sorted(path.relative_to(stripes).as_posix() for path in stripes.rglob("*.png"))
    for one in found.networks:
        encoder = loader.load(one.encoded.network)
        unit = normalise(np.stack([encoder.encode_image(stripes / name) for name in names]))
        expected = precision(unit, folder_labels(names), 3)
        assert one.similarity == "cosine"  # 32 images are few
        assert one.values["cosine"]["precision"].mean() == pytest.approx(expected)
        assert one.encoded.rate > 0 and one.encoded.alone > 0
        assert one.encoded.was_here
    assert found.networks[0].encoded.bytes > 10**7 and found.networks[1].encoded.bytes == 0


def test_two_runs_give_equal_measures(stripes):
    one, other = (compare(stripes, ["hog-colour"], sample=20, altered=3, k=3) for _ in range(2))
    for measure, values in one.networks[0].values["cosine"].items():
        assert np.array_equal(values, other.networks[0].values["cosine"][measure])
    assert one.images == other.images == 24 and one.total == 32  # three whole folders


def test_only_a_significantly_better_network_is_best(compared, colours):
    said = network_report.verdict(compared)
    assert said[0].startswith("Best: hog-colour, mAP@100 ")
    assert said[1].startswith(f"The next, {colours}, is worse beyond chance, by 0.")
    worse, better = (one.values["cosine"]["mAP"] for one in compared.networks)
    assert confidence_interval(better - worse, minimum=-1).low > 0
    copy = compared.networks[0]._replace(encoded=compared.networks[0].encoded._replace(network="copy"))
    twice = compared._replace(networks=[compared.networks[0], copy])
    assert "is not worse beyond chance" in network_report.verdict(twice)[1]


def test_verdict_needs_enough_queries(compared, colours):
    few = [one._replace(values={"cosine": {"mAP": one.values["cosine"]["mAP"][:16]}}) for one in compared.networks]
    assert network_report.verdict(compared._replace(networks=few)) == [
        "No verdict: only 16 images with a shared label, at least 20 are needed."
    ]
    assert network_report.verdict(compared._replace(networks=few[:1]))[0].startswith(f"{colours}: mAP@100 ")


def test_altered_copies_are_queries_without_labels(stripes, colours):
    found = compare(stripes, ["hog-colour", str(colours)], labels="none", altered=10)
    assert found.measure == "copies" and found.labels is None
    for one in found.networks:
        assert set(one.values["cosine"]) == {"copies"} and one.values["cosine"]["copies"].shape == (10,)
    hog, colour = (one.values["cosine"]["copies"].mean() for one in found.networks)
    assert hog > 0.5  # of the stripes' own directions
    # Only recoloured copies have another mean colour, and a crop or lettering a slightly different one.
    assert colour > 0.5


def test_unreadable_image_is_left_out_of_all_networks(stripes, colours, tmp_path):
    broken = shutil.copytree(stripes, tmp_path / "stripes")
    (broken / "flat" / "0.png").write_bytes(b"broken")
    events = []
    found = compare(broken, ["hog-colour", str(colours)], altered=32, k=3, progress=events.append)
    assert [one.name for one in found.skipped] == ["flat/0.png"]
    assert [one.name for event in events for one in event.skipped] == ["flat/0.png"]
    for one in found.networks:
        shapes = {measure: each.shape for measure, each in one.values["cosine"].items()}
        assert shapes == dict.fromkeys(("precision", "mAP", "copies"), (31,))


def test_measures_use_the_similarity_of_an_index(tmp_path):
    random = np.random.default_rng(0)
    for row in range(220):
        kind = row % 4
        pixels = random.integers(0, 90, (40, 40, 3), dtype=np.uint8)
        pixels[10 * kind : 10 * kind + 10] += 120
        (tmp_path / "many" / str(kind)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "many" / str(kind) / f"{row}.png")
    (one,) = compare(tmp_path / "many", ["hog-colour"]).networks
    assert one.similarity == "whitened" and set(one.values) == {"whitened", "cosine"}


def test_unusable_network_is_left_out_with_a_note(stripes, monkeypatch):
    class Broken:
        name, weights = "onnxruntime", None

        def __call__(self, pixels):
            return np.full((len(pixels), 8), np.nan, np.float32)

    def load(name, *arguments):
        if name == "vgg16":
            raise OSError("no internet")
        encoder = real(name, *arguments)
        if name == "efficientnetlite2":
            return Encoder(Broken(), encoder.preparation, replace(encoder.description, dimension=8))
        return encoder

    real = loader.load
    monkeypatch.setattr(loader, "load", load)
    events = []
    found = compare(stripes, ["vgg16", "efficientnetlite2", "hog-colour"], progress=events.append)
    assert [one.encoded.network for one in found.networks] == ["hog-colour"]
    assert found.failed["vgg16"] == "no internet" and "NaN or infinity" in found.failed["efficientnetlite2"]
    notes = [event.note for event in events if event.note]
    assert notes[0] == "left out vgg16: no internet" and len(notes) == 2
    with pytest.raises(ValueError, match="no network could be used: vgg16: no internet"):
        compare(stripes, ["vgg16"])


def test_prompts_are_compared_by_words_of_labels(photos, colours):
    found = compare(photos, [str(colours), "hog-colour"], k=4)
    (reader, other) = found.networks
    means = {prompt: each.mean() for prompt, each in reader.prompts.items()}
    bad = "an image of a {}"
    assert set(means) == set(networks.PROMPTS)
    assert all(mean == (pytest.approx(1 / 3) if prompt == bad else 1) for prompt, mean in means.items())
    assert other.prompts == {}
    many = {prompt: np.tile(values, 8) for prompt, values in reader.prompts.items()}
    assert network_report.prompt_verdict(found._replace(networks=[reader._replace(prompts=many)])) == [
        f"{colours}: no prompt is better than the plain words beyond chance."
    ]
    rows = {row[1]: row for row in network_report.prompt_lines(found)}
    assert rows[bad][2].startswith("0.333 [") and rows[bad][3].startswith("-0.667 [")


def test_a_better_prompt_is_recommended(photos, colours, monkeypatch):
    for folder in list(photos.iterdir()):
        folder.rename(photos / f"image_{folder.name}")
    monkeypatch.setattr(networks, "PROMPTS", ("{}", "a {}", "{} sharp"))
    found = compare(photos, [str(colours)], k=4)
    each = {prompt: values.tolist() for prompt, values in found.networks[0].prompts.items()}
    assert each == {"{}": [0, 0, 1], "a {}": [0, 0, 1], "{} sharp": [1, 1, 1]}  # blue, green, red
    assert network_report.prompt_verdict(found) == [
        f"{colours}: no verdict on prompts, only 3 labels, at least 20 are needed."
    ]
    many = {prompt: np.tile(values, 8) for prompt, values in found.networks[0].prompts.items()}
    (said,) = network_report.prompt_verdict(found._replace(networks=[found.networks[0]._replace(prompts=many)]))
    assert said.startswith(f'{colours}: search with --prompt "{{}} sharp", +0.667 [')


@pytest.mark.parametrize(("label", "words"), [("a/fire-truck", "fire truck"), ("Faces_easy", "Faces easy"), ("-", "-")])
def test_labels_become_words(label, words):
    assert as_words(label) == words


def test_folders_stay_together_in_a_sample():
    sizes = {"a": 300, "b": 50, "c": 30, "d": 2}
    names = [f"{folder}/{i}.jpg" for folder, size in sizes.items() for i in range(size)]
    labels = choose_labels(None, names)
    drawn = [names[row].split("/")[0] for row in sampled(names, labels, 120)]
    assert {folder: drawn.count(folder) for folder in sizes} == {"a": 44, "b": 44, "c": 30, "d": 2}
    many = [f"{folder}/{i}.jpg" for folder in range(100) for i in range(15)]
    rows = sampled(many, choose_labels(None, many), 200)
    folders, counts = np.unique([many[row].split("/")[0] for row in rows], return_counts=True)
    assert len(folders) == 14 and set(counts) == {15}
    assert np.array_equal(sampled(many, None, 10**6), np.arange(1500))
    assert len(sampled(many, None, 100)) == 100 and not np.array_equal(sampled(many, None, 100), np.arange(100))


def test_sample_prefers_labelled_images(tmp_path):
    names = [f"{i}.jpg" for i in range(100)]
    lines = "".join(f"{i}.jpg,kind {i % 2}\n" for i in range(0, 100, 10))
    (tmp_path / "labels.csv").write_text(f"image,labels\n{lines}")
    rows = sampled(names, choose_labels(str(tmp_path / "labels.csv"), names), 15)
    assert {*range(0, 100, 10)} <= set(rows.tolist()) and len(rows) == 15


def test_command_prints_table_and_json_and_writes_report(run, photos, colours):
    command = ["evaluate", "--networks", f"efficientnetlite0,{colours}", "photos", "-k", 4]
    done = run(*command, "--report", "r.html")
    assert done.returncode == 0, done.stderr
    lines = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in done.stdout.splitlines()[1:] if "  " in line.strip())
    assert lines["precision@4"].endswith("0.750 [0.617, 0.856]")  # each has three others of its kind
    assert lines["reads words"].split() == ["no", "yes"]
    assert "No verdict: only 12 images" in done.stdout and "an image of a {}" in done.stdout
    page = (photos.parent / "r.html").read_text()
    assert page.count("<svg") == 1 and str(colours) in page and "http" not in page
    content = json.loads(run(*command, "--json").stdout)
    assert [one["reads_words"] for one in content["networks"]] == [False, True]
    assert content["networks"][1]["measures"]["cosine"]["precision"]["mean"] == 0.75
    assert content["networks"][1]["prompts"]["an image of a {}"]["less_plain"]["mean"] < -0.6
    assert content["networks"][0]["less_the_first"]["mAP"] == {"mean": 0, "low": 0, "high": 0}
    assert sorted(path.name for path in photos.parent.iterdir()) == ["photos", "r.html"]  # no file is left


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected one folder or archive of images with --networks, got none"),
        (["photos", "photos"], "expected one folder or archive of images with --networks, got 2"),
        (["--networks", "nothing", "photos"], "got nothing"),
        (["--networks", "mobilenetv2=nowhere.h5", "photos"], "nowhere.h5"),
        (["--networks", ",", "photos"], "expected names of networks"),
        (["nowhere"], "nowhere does not exist"),
        (["photos", "--similarity", "cosine"], "--similarity applies to collections"),
        (["photos", "--labels", "nowhere.csv"], "there is no labels file nowhere.csv"),
        (["photos", "--report", "no/folder.html"], "there is no folder"),
    ],
)
def test_bad_input_gives_one_line(run, photos, arguments, message):
    assert message in one_line(run("evaluate", "--networks", "hog-colour", *arguments))


def test_a_folder_needs_the_networks(run, photos):
    assert "is a directory" in one_line(run("evaluate", "photos"))


def test_failed_download_leaves_out_one_network(run, photos):
    done = run("evaluate", "--networks", "hf:nobody/nothing,hog-colour", "photos", env=os.environ | NO_HUB)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "left out hf:nobody/nothing: hf:nobody/nothing is not on this machine and cannot be downloaded"
    )
    assert done.stdout.startswith(" ") and done.stdout.splitlines()[0].split() == ["hog-colour"]


def test_interrupt_leaves_no_files(photos):
    (photos / "red" / "bad.jpg").write_text("no image")
    for number in range(100):
        (photos / "red" / f"more-{number}.jpg").write_bytes((photos / "red" / "0.jpg").read_bytes())
    command = program("evaluate", "--networks", "hog-colour,efficientnetlite2", "photos", "--report", "r.html")
    process = subprocess.Popen(command, cwd=photos.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline().startswith("skipped red/bad.jpg")  # the first network is done
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 1 and out == ""
    assert [path.name for path in photos.parent.iterdir()] == ["photos"]


def test_index_bytes_match_built_files(tmp_path, monkeypatch):
    n, d = 20_000, 160
    random = np.random.default_rng(0)
    vectors = open_vectors(save_vectors(tmp_path / "v.npy", random.normal(size=(n, d)).astype(np.float32)))
    monkeypatch.setattr(network_report, "MILLION", n)
    for similarity in ("cosine", "whitened"):
        path = tmp_path / f"{similarity}.index"
        build(vectors, path, BuildRequest("reduced", similarity=similarity))
        written = sum(file.stat().st_size for file in tmp_path.glob(f"{similarity}.index*"))
        assert network_report.index_bytes(d, similarity) == pytest.approx(written, rel=0.05)
