"""Words in a prompt, in Python and by the script, with a network whose answers are known."""

import json
import shutil

import colour_network
import pytest
from commands import one_line

from similar_images import Collection


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return colour_network.saved(tmp_path_factory.mktemp("networks") / "colours")


@pytest.fixture
def collection(run, photos, network):
    done = run("extract", "-d", "photos", "--network", network)
    assert done.returncode == 0, done.stderr
    return Collection.open(photos.parent / "photos_file_list.txt")


def folders(hits: list) -> set[str]:
    return {hit.name.split("/")[0] for hit in hits}


def test_the_network_reads_the_words_in_the_prompt(collection):
    assert folders(collection.nearest(text="blue", k=4)) == {"blue"}
    assert folders(collection.nearest(text="blue", prompt="a photo of a {}", k=4)) == {"blue"}
    assert folders(collection.nearest(text="blue", prompt="an image of a {}", k=4)) == {"red"}
    assert folders(collection.nearest(text="blue", prompt="a sharp image of a {}", k=4)) == {"blue"}
    query = collection.encode_text("blue", "a sharp image of a {}")
    assert query.words == "blue" and folders(collection.nearest(query, k=4)) == {"blue"}


@pytest.mark.parametrize("prompt", ["", "a photo", "{0}", "{ }"])
def test_a_prompt_without_a_place_is_refused(collection, prompt):
    with pytest.raises(ValueError, match=r"expected a prompt with \{\} for the words, such as .* got \""):
        collection.nearest(text="blue", prompt=prompt)


def test_the_script_takes_a_prompt(run, collection):
    for prompt, found in (("{}", "green"), ("an image of a {}", "red")):
        done = run("search", "green", "--prompt", prompt, "--json", "-k", 4)
        assert done.returncode == 0, done.stderr
        assert {hit["name"].split("/")[0] for hit in json.loads(done.stdout)[0]["hits"]} == {found}
    again = run("search", "photos/blue/1.jpg", "--prompt", "an image of a {}", "--json", "-k", 3)
    assert {hit["name"].split("/")[0] for hit in json.loads(again.stdout)[0]["hits"]} == {"blue"}  # images have none


def test_the_script_refuses_a_prompt_in_one_line(run, photos, collection):
    refused = one_line(run("search", "green", "--prompt", "a photo"))
    assert 'expected a prompt with {} for the words, such as "a photo of a {}", got "a photo"' in refused
    shutil.copytree(photos, photos.parent / "others")
    assert run("extract", "-d", "others", "--network", "hog-colour").returncode == 0
    refused = one_line(run("search", "-i", "others_file_list.txt", "green", "--prompt", "a photo of a {}"))
    assert "--prompt is for words, which hog-colour does not read: omit it, or make the collection" in refused
