"""Descriptions of networks in manifests: lossless, and compared entry by entry."""

from dataclasses import replace

import pytest

from similar_images.networks.catalog import NETWORKS, describe
from similar_images.networks.description import NetworkDescription, is_same_network

HUB = {
    **{"name": "hf:openai/clip", "source": "huggingface", "revision": "abc", "files": None, "layer": "image embedding"},
    **{"reads": "images and words", "dimension": 512, "resized": None, "cropped": "224 x 224"},
    **{"resampling": "bicubic", "jpeg": "whole", "preprocessing": "(x * 1) / 2", "weights": "0a"},
}
TEXT = {"name": "a", "source": "sentence-transformers", "reads": "text", "dimension": 9, "tokens": 256, "weights": "0"}
LATER = {"name": "a", "dimension": 9, "weights": None, "pooling": {"kind": "mean"}}  # with an unknown entry


@pytest.mark.parametrize("entries", [HUB, TEXT, LATER], ids=["hub", "text", "later version"])
def test_reading_and_writing_keeps_every_entry_in_order(entries):
    assert list(NetworkDescription.from_json(entries).to_json().items()) == list(entries.items())


@pytest.mark.parametrize(
    ("entries", "reason"), [({"dimension": 1}, "name is missing"), (HUB | {"side": "a"}, "side: expected")]
)
def test_damaged_entry_is_refused_with_its_place(entries, reason):
    with pytest.raises(ValueError, match=f"network.{reason}"):
        NetworkDescription.from_json(entries, "network")


def test_new_description_equals_the_one_read_from_its_json():
    for network in NETWORKS.values():
        entries = describe(network).to_json()
        assert list(entries) == [
            *("name", "source", "layer", "dimension", "side", "resampling", "jpeg", "preprocessing", "weights"),
        ]
        assert NetworkDescription.from_json(entries) == describe(network)


def test_networks_differ_by_any_entry_and_by_weights_if_both_are_known():
    known = NetworkDescription.from_json(HUB)
    assert is_same_network(known, replace(known, weights=None))
    assert not is_same_network(known, replace(known, weights="0b"))
    other = replace(known, resampling="bilinear")
    assert not is_same_network(known, other)
    assert known.differences(other) == [("resampling", "bicubic", "bilinear")]
