"""Names, vectors and their manifest on disk, and how they are made."""

from similar_images import _moved

__getattr__ = _moved.names_of(__name__)
