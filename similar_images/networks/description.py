"""The description of a network in manifests: enough to encode a query in the same way as its collection."""

from dataclasses import KW_ONLY, dataclass, field, fields, replace
from typing import Any, Self

from similar_images import records

TEXT, IMAGES_AND_WORDS, IMAGES = "text", "images and words", "images"


@dataclass(frozen=True)
class NetworkDescription:
    """A network and its preprocessing. Entries that a kind of network does not have are None and not recorded."""

    name: str
    _: KW_ONLY
    source: str | None = None
    revision: str | None = None  # commit on the hub
    files: str | None = None  # SHA-256 over all files of a local folder
    layer: str | None = None  # the layer or output that gives the vector
    reads: str | None = None  # TEXT, IMAGES_AND_WORDS or IMAGES; None: images
    dimension: int
    tokens: int | None = None  # longer texts are truncated to this number
    side: int | None = None  # pixels of the square input
    resized: str | None = None
    cropped: str | None = None
    resampling: str | None = None  # Pillow's filter
    jpeg: str | None = None  # scale at which large JPEGs are decoded
    preprocessing: str | None = None  # scaling of pixels
    weights: str | None = None  # SHA-256 over the weights; None if it has none or they are not known
    other: dict[str, Any] = field(default_factory=dict, hash=False)  # entries written by other versions
    nulls: frozenset[str] = field(default=frozenset({"weights"}), compare=False)  # None is recorded for these

    @classmethod
    def from_json(cls, entries: dict[str, Any], place: str = "") -> Self:
        """Return the description in a manifest. Raises ValueError, with the `place`, if an entry has another type."""
        known = records.from_json(cls, entries, place)
        other = {key: value for key, value in entries.items() if key not in ENTRIES}
        return replace(known, other=other, nulls=frozenset(key for key, value in entries.items() if value is None))

    def to_json(self) -> dict[str, Any]:
        """Return the entries for a manifest, the inverse of `from_json`."""
        entries = {key: getattr(self, key) for key in ENTRIES}
        return {key: value for key, value in entries.items() if value is not None or key in self.nulls} | self.other

    def differences(self, other: "NetworkDescription") -> list[tuple[str, Any, Any]]:
        """Return the entries of this description that the other one lacks or has with another value: (key, own, other)."""
        own, others = self.to_json(), other.to_json()
        return [(key, value, others.get(key)) for key, value in own.items() if value != others.get(key)]


ENTRIES = tuple(one.name for one in fields(NetworkDescription) if one.name not in ("other", "nulls"))


def is_same_network(one: NetworkDescription, other: NetworkDescription) -> bool:
    """Return whether two descriptions belong to the same network; weights are compared if both are known."""
    weights = {one.weights, other.weights} - {None}
    return replace(one, weights=None) == replace(other, weights=None) and len(weights) <= 1


def reads_text(network: NetworkDescription | None) -> bool:
    """Return whether a network encodes texts instead of images."""
    return network is not None and network.reads == TEXT


def reads_words(network: NetworkDescription | None) -> bool:
    """Return whether a network for images also encodes words."""
    return network is not None and network.reads == IMAGES_AND_WORDS
