"""How good a search is: recall, labels, altered copies, near-duplicates."""

from similar_images import _moved

__getattr__ = _moved.names_of(__name__)
