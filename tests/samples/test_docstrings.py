import pytest

from similar_images.samples import docstrings
from similar_images.samples.docstrings import collect, first_sentence


@pytest.mark.parametrize(
    "docstring, expected",
    [
        ("Return the sum of two numbers. And more.", "Return the sum of two numbers."),
        ("\n    Flip an image\n    upside down.\n\n    Args:", "Flip an image upside down."),
        ("Use version 2.1 of a thing, e.g. this one", "Use version 2.1 of a thing, e.g. this one"),
        ("No full stop at the end of it\n\nMore.", "No full stop at the end of it"),
        ("Short.", None),
        ("ALongWordThatIsNoSentence", None),
        ("-----------------------------", None),
        (">>> print(1 + 1) and so on", None),
        ("word " * 100, None),
        ("", None),
    ],
)
def test_the_first_sentence_of_a_docstring(docstring, expected):
    assert first_sentence(docstring) == expected


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write the files of a package of this name that alone is collected."""

    def write(name: str, **files: str) -> None:
        folder = tmp_path / name
        for file, content in files.items():
            path = folder / (file.replace("__of__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        monkeypatch.setattr(docstrings, "_sources", lambda: [(name, folder)])

    return write


def test_public_functions_classes_and_methods_with_their_names(package):
    package(
        "made",
        __init__='def whole():\n    """Return the whole of everything."""\n',
        _private='def shown():\n    """Return the names shown by the package."""\n',
        part='__all__ = ["Kept"]\nclass Kept:\n    """Keep all valuable things."""\n'
        '    def get(self):\n        """Return all things kept in it."""\n    def _no(self):\n        """Do nothing at all here."""\n'
        'def left():\n    """Return things missing in the exports."""\n',
        tests='def test():\n    """Test that it works as described."""\n',
        broken="def (",
    )
    assert collect() == [
        "made.part.Kept: Keep all valuable things.",
        "made.part.Kept.get: Return all things kept in it.",
        "made.shown: Return the names shown by the package.",
        "made.whole: Return the whole of everything.",
    ]


def test_a_package_that_exports_by_decorators_shows_these_names_only(package):
    ops = '@tf_export("image.turn", v1=[])\ndef turn_v2():\n    """Turn an image around its centre."""\n'
    ops += 'def inner():\n    """Return what nobody should call."""\n'
    package("tensorflow", python__of__ops=ops)
    assert collect() == ["tf.image.turn: Turn an image around its centre."]


def test_packages_are_neither_imported_nor_run(package):
    package("made", evil='raise SystemExit\ndef late():\n    """Return too late to be of use."""\n')
    assert collect() == ["made.evil.late: Return too late to be of use."]


@pytest.mark.slow
def test_installed_packages_give_ten_thousand_unique_texts():
    texts = collect()
    names = [text.split(": ")[0] for text in texts]
    assert len(texts) >= 10_000
    assert len(set(names)) == len(names)
    assert names == sorted(names)
    assert {"tf.image.flip_left_right", "textwrap.dedent", "numpy.mean"} <= set(names)
    assert all("\n" not in text for text in texts)
