"""Which of two searches people prefer: the blind A/B test."""

from similar_images import _moved

__getattr__ = _moved.names_of(__name__)
