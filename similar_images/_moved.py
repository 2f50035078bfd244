"""Module names of version 1.0, whose modules lie in folders now: old imports keep working."""

from __future__ import annotations  # so that an old Python gets as far as the line that says what to type

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import CodeType, ModuleType

MODULES = {
    "alterations": "evaluation.alterations",
    "asking": "collection.query",
    "blind_test": "widgets.blind_test",
    "building": "index.build",
    "command": "cli.options",
    "decoding": "vectors.decode_pool",
    "docstrings": "samples.docstrings",
    "duplicates": "evaluation.duplicates",
    "export": "widgets.export",
    "extraction": "vectors.from_images",
    "fetching": "inputs.web",
    "gallery": "widgets.gallery",
    "hog_colour": "networks.hog_colour",
    "images": "inputs.images",
    "index_file": "index.index_file",
    "keras_networks": "networks.keras",
    "labels": "evaluation.labels",
    "onnx_networks": "networks.onnx",
    "pages": "templates.pages",
    "plots": "evaluation.plots",
    "preference": "comparison.statistics",
    "questionnaire": "comparison.questionnaire",
    "recipes": "index.recipes",
    "report": "evaluation.report",
    "sample": "samples.pictures",
    "search_widget": "widgets.search",
    "sources": "inputs.sources",
    "speed": "networks.batch_size",
    "sts": "evaluation.sts",
    "text_collection": "collection.texts",
    "text_exports": "networks.text_openvino",
    "text_extraction": "vectors.from_texts",
    "text_gallery": "widgets.text_gallery",
    "text_networks": "networks.text",
    "texts": "inputs.texts",
    "thumbnails": "widgets.thumbnails",
    "tuning": "index.tune",
    "tweets": "samples.tweets",
    "votes": "comparison.votes",
    "words": "widgets.words",
}
PACKAGES = {  # what was a module is a folder now
    "vectors": ("vectors.store", "vectors.writer", "vectors.manifest", "inputs.names"),
    "networks": ("networks.catalog", "networks.loader"),
    "index": ("index.index",),
    "comparison": ("comparison.comparison",),
    "collection": ("collection.images",),
    "evaluation": ("evaluation.evaluation",),
}

RUN = {"similar_images.sample": "similar_images.cli.sample"}  # `python -m` of these runs another module


def install() -> None:
    """Make `import similar_images.OLD` give the module of its new name."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.append(Finder())


def names_of(package: str) -> Callable[[str], object]:
    """Return the `__getattr__` of a folder of this package: the public names of the module that it once was."""

    def attribute(name: str) -> object:
        if not name.startswith("_") and find_spec(f"{package}.{name}") is None:  # a file of the folder comes first
            for home in PACKAGES[package.removeprefix("similar_images.")]:
                try:
                    return getattr(import_module(f"similar_images.{home}"), name)
                except AttributeError:
                    continue
        raise AttributeError(f"module {package} has no attribute {name}")

    return attribute


class Finder(MetaPathFinder, Loader):
    """Finds the modules of MODULES under their old names; each is the new module itself."""

    def __init__(self) -> None:
        self.specs: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, old = fullname.partition(".")
        if package != "similar_images" or old not in MODULES:
            return None
        return ModuleSpec(fullname, self, origin=_found(_new_name(fullname)).origin)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(_new_name(spec.name))
        self.specs[module.__name__] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.specs[module.__name__]  # which the import system has replaced

    def get_code(self, fullname: str) -> CodeType:
        """Return the code for `python -m`."""
        name = RUN.get(fullname, _new_name(fullname))
        loader = _found(name).loader
        if not isinstance(loader, InspectLoader) or (code := loader.get_code(name)) is None:
            raise ImportError(f"{name} has no code")
        return code


def _found(name: str) -> ModuleSpec:
    spec = find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"no module {name}", name=name)
    return spec


def _new_name(fullname: str) -> str:
    return f"similar_images.{MODULES[fullname.removeprefix('similar_images.')]}"
