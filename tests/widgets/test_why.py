"""The comparison of a hit with the query, without a browser."""

import io
from dataclasses import replace

import numpy as np
import pytest
from galleries import GREEN, refusal, sent, tell, upload
from PIL import Image

from similar_images import Collection, Gallery
from similar_images.collection.encoder import Query


@pytest.fixture
def deep(collection, tmp_path) -> Gallery:
    """A gallery of the sample with a network with feature maps."""
    gallery = Gallery(Collection.create(tmp_path / "sample", tmp_path / "deep", "efficientnetlite0"), seed=1)
    gallery.wait()
    return gallery


def explained(shown: Gallery, row: int) -> tuple[dict, list[Image.Image]]:
    """Return the explanation of a hit, and its pictures."""
    content, pictures = sent(shown, do="why", row=row)
    return content, [Image.open(io.BytesIO(one)) for one in pictures]


def test_query_and_hit_are_sent_with_heat_maps(deep):
    before, hit = deep.status, deep.hits[0]
    content, pictures = explained(deep, hit.row)
    assert content["number"] == deep.shown["number"] and content["row"] == hit.row and content["name"] == hit.name
    assert content["says"].startswith("most alike: the ") and content["says"].endswith(" of the hit")
    assert [alt.split()[:2] for alt in content["alts"]] == [["Query", f"{deep.query.name},"], ["Hit", f"{hit.name},"]]
    assert [picture.size for picture in pictures] == [(80, 60), (80, 60)]
    plain = np.asarray(Image.open(deep.collection.image(hit.row)), np.int16)
    assert np.abs(np.asarray(pictures[1]) - plain).mean() > 5  # something is over it
    assert deep.status == before


def test_upload_and_its_part_are_explained(deep):
    upload(deep, "green.png", GREEN)
    content, pictures = explained(deep, 0)
    assert content["alts"][0].startswith("Query green.png") and pictures[0].size == (80, 60)
    deep.search_part((0, 0, 0.5, 1))
    deep.wait()
    _, pictures = explained(deep, 0)
    assert pictures[0].size == (40, 60)


def test_words_and_networks_without_feature_maps_are_refused(deep, shown):
    tell(shown, do="why", row=3)
    assert refusal(shown).startswith("Failed: hog-colour has no feature map")
    page = deep._displayed.page
    words = Query(deep.collection.vector(0), deep.collection.network, "a dog")
    request = replace(page.request, state=replace(page.state, query=words, row=None))
    deep._displayed = deep._displayed._replace(page=replace(page, request=request))
    tell(deep, do="why", row=3)
    assert refusal(deep).startswith("Failed: words match no parts")
