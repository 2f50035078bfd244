"""What turns an image or a text into a vector."""

from similar_images import _moved

__getattr__ = _moved.names_of(__name__)
