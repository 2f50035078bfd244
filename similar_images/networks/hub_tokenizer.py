"""Tokenizers of networks of the hub, written so that the library tokenizers alone reads them."""

from pathlib import Path

from tokenizers import Tokenizer

from similar_images.networks.extras import need
from similar_images.networks.hub_checks import SENTENCEPIECE, TOKENIZER, VOCABULARIES
from similar_images.networks.hub_files import HubNetwork
from similar_images.networks.text import quiet

# Sentences that are compared: their tokens with those of the library, and their vectors with those of PyTorch.
CHECKED = ("A dog runs on the beach.", "two cats", "  The  KING's 3 boats, seen from above - in July!")


def write_tokenizer(network: HubNetwork, most: int, pads: bool, path: Path) -> bool:
    """Write the tokenizer, which adds special tokens, truncates and pads; return whether there is one that can be used.

    `most`: the tokens that the network has places for; with `pads` all texts are padded to the most tokens. Where the
    library has one of Python, that in tokenizer.json is taken if it gives the same tokens. Raises MissingExtra.
    """
    transformers = need("transformers", "hub", network.name)
    if not any((network.folder / name).is_file() for name in (TOKENIZER, *VOCABULARIES)):
        return False  # the library would make an empty one
    if any((network.folder / name).is_file() for name in SENTENCEPIECE):
        need("sentencepiece", "hub", f"the tokenizer of {network.name}")
    with quiet():
        try:
            given = transformers.AutoTokenizer.from_pretrained(
                str(network.folder), trust_remote_code=False, local_files_only=True
            )
            expected = [given(text)["input_ids"] for text in CHECKED]
        except Exception:  # the library raises anything where files are missing: the images can be encoded
            return False
    if getattr(given, "is_fast", False):
        tokenizer = Tokenizer.from_str(given.backend_tokenizer.to_str())
    elif (network.folder / TOKENIZER).is_file():
        tokenizer = Tokenizer.from_file(str(network.folder / TOKENIZER))
    else:
        return False
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if [one.ids for one in tokenizer.encode_batch(list(CHECKED))] != expected:
        return False
    tokens = min(most, given.model_max_length)
    tokenizer.enable_truncation(tokens, direction=given.truncation_side)
    tokenizer.enable_padding(
        direction=given.padding_side,
        pad_id=given.pad_token_id or 0,
        pad_type_id=given.pad_token_type_id,
        pad_token=given.pad_token or "",
        length=tokens if pads else None,
    )
    tokenizer.save(str(path))
    return True
