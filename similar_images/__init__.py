"""Find the images of a collection that look most like a given one, or the texts that mean most nearly the same."""

from importlib import import_module

_HOMES = {
    "Collection": "collection",
    "Hit": "collection",
    "Query": "collection",
    "Comparison": "comparison",
    "BlindTest": "blind_test",
    "Gallery": "gallery",
    "TextCollection": "text_collection",
    "TextGallery": "text_gallery",
    "Way": "evaluation",
}

__all__ = ["BlindTest", "Collection", "Comparison", "Gallery", "Hit", "Query", "TextCollection", "TextGallery", "Way"]


def __getattr__(name: str) -> object:
    """Import what is heavy only when it is asked for."""
    if name in _HOMES:
        return getattr(import_module(f"similar_images.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
