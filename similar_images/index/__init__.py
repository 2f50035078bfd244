"""Vectors to a Faiss index: recipes, search, tuning for a target, building."""

from similar_images import _moved

__getattr__ = _moved.names_of(__name__)
