"""The sample collection of texts: the docstrings of installed functions and classes.

python -m similar_images.samples.docstrings FILE.txt
"""

import ast
import importlib.util
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from similar_images.inputs.names import write_names
from similar_images.inputs.texts import to_one_line

PACKAGES = (  # from requirements.txt; their source is read, never imported
    "PIL",
    "click",
    "faiss",
    "h5py",
    "ipywidgets",
    "jinja2",
    "joblib",
    "keras",
    "matplotlib",
    "notebook",
    "numpy",
    "onnx",
    "psutil",
    "requests",
    "scipy",
    "skimage",
    "sklearn",
    "tensorflow",
    "tqdm",
)
LEFT_OUT = {"test", "tests", "testing", "conftest", "site-packages", "dist-packages", "idlelib", "lib2to3", "externals"}
EXPORTS = {
    "tensorflow": ("tf_export", "tf."),
    "keras": ("keras_export", ""),
}  # package -> decorator of public names, their prefix
SENTENCE = re.compile(r"(.+?[.!?])(?:\s+[A-Z`]|\s*$)", re.DOTALL)  # "e.g. this" continues the sentence
SHORTEST = 20  # characters; shorter ones say too little
LONGEST = 300  # characters; longer ones are not sentences


def collect() -> list[str]:
    """Return `qualified.name: first sentence` of the public functions and classes, sorted, each name once."""
    found: dict[str, str] = {}
    for package, folder in _sources():
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            if LEFT_OUT.isdisjoint(parts) and (package or not parts[0].startswith("_")):
                for name, sentence in _sentences(file, ".".join(filter(None, (package, *parts)))):
                    found.setdefault(name, sentence)
    return [f"{name}: {found[name]}" for name in sorted(found)]


def first_sentence(docstring: str) -> str | None:
    """Return the first sentence of a docstring as one line; None if it has no usable one."""
    paragraph = docstring.strip().split("\n\n")[0]
    match = SENTENCE.match(paragraph)
    sentence = " ".join(to_one_line(match[1] if match else paragraph).split())
    is_prose = " " in sentence and sentence[0].isalpha() and not sentence.startswith("Deprecated")
    return sentence if is_prose and SHORTEST <= len(sentence) <= LONGEST else None


def _sources() -> Iterator[tuple[str, Path]]:
    yield "", Path(sysconfig.get_path("stdlib"))
    for package in PACKAGES:
        found = importlib.util.find_spec(package)
        if found is not None and found.submodule_search_locations:
            yield package, Path(found.submodule_search_locations[0])


def _sentences(file: Path, module: str) -> Iterator[tuple[str, str]]:
    """Yield public names and their first sentences from a file; nothing if it cannot be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes in third-party strings
            tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return
    public, package = _all(tree), module.split(".")[0]
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if package in EXPORTS:
            name = _exported(node, *EXPORTS[package])
        else:
            name = f"{_public_module(module)}.{node.name}" if public is None or node.name in public else None
        if name is None:
            continue
        yield from _of(node, name)
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not method.name.startswith("_"):
                    yield from _of(method, f"{name}.{method.name}")


def _of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, name: str) -> Iterator[tuple[str, str]]:
    sentence = first_sentence(ast.get_docstring(node) or "-")
    if sentence:
        yield name, sentence


def _all(tree: ast.Module) -> set[str] | None:
    """Return the names in a module's __all__; None if it has none or computes it."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(one, "id", None) == "__all__" for one in node.targets):
            try:
                return set(ast.literal_eval(node.value))
            except (ValueError, TypeError):
                return None
    return None


def _exported(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, decorator: str, prefix: str) -> str | None:
    """Return the first public name in a decorator's argument, a string or a list; None if there is none."""
    for call in node.decorator_list:
        if isinstance(call, ast.Call) and getattr(call.func, "id", None) == decorator and call.args:
            constants = [one.value for one in ast.walk(call.args[0]) if isinstance(one, ast.Constant)]
            names = [value for value in constants if isinstance(value, str)]
            return prefix + names[0] if names else None
    return None


def _public_module(module: str) -> str:
    """Return a module's path up to its first private part: numpy._core.fromnumeric becomes numpy."""
    parts = module.removesuffix(".__init__").split(".")
    private = next((i for i, part in enumerate(parts) if part.startswith("_") and i), len(parts))
    return ".".join(parts[:private])


if __name__ == "__main__":
    write_names(Path(sys.argv[1]), collect())
