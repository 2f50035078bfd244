"""Names, vectors and index, opened together and searched."""

from similar_images import _moved

__getattr__ = _moved.names_of(__name__)
