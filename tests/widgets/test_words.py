import pytest

from similar_images.widgets.words import SAMPLE, Words

TEXTS = [f"the {word} is here" for word in ("cat", "dog", "train", "rain")] * 10 + ["A cat's life", "déjà vu", "ямщик"]


@pytest.fixture
def words() -> Words:
    return Words(TEXTS)


def marked(words: Words, text: str, query: str) -> list[str]:
    pieces = words.mark(text, query)
    assert "".join(piece for piece, _ in pieces) == text
    return [piece for piece, matches in pieces if matches]


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("Flipped images, upside down", "flip an image", ["Flipped", "images"]),
        ("tf.image.flip_left_right", "left and right", ["left", "right"]),
        ("keras.RandomFlip", "flip", ["Flip"]),
        ("my iPhone", "IPHONE", ["iPhone"]),
        ("I don't know", "don't", ["don't"]),
        ("Déjà vu 😀 vu", "DÉJÀ", ["Déjà"]),
        ("שלום עולם", "שלום", ["שלום"]),
        ("trafficking", "traffic", []),
        ("", "flip", []),
        ("flip", "", []),
    ],
)
def test_words_with_the_same_stem_are_marked(words, text, query, expected):
    assert marked(words, text, query) == expected


def test_common_words_are_not_marked(words):
    assert words.common == {"the", "is", "here", "cat", "dog", "train", "rain"}
    assert marked(words, "the life is here", "the life here") == ["life"]


def test_few_texts_have_no_common_words():
    assert Words(["one cat", "two dogs"]).common == set()


def test_common_words_come_from_a_sample(monkeypatch):
    words = Words([f"the {number}" for number in range(50 * SAMPLE)])
    assert words.common == {"the"}


def test_language_can_be_chosen():
    assert marked(Words(TEXTS), "die Häuser", "ein Haus") == []
    assert marked(Words(TEXTS, "german"), "die Häuser", "ein Haus") == ["Häuser"]
    with pytest.raises(ValueError, match=r"expected a language of arabic, .*turkish.*, got klingon"):
        Words(TEXTS, "klingon")
