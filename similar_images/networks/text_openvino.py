"""Networks of sentence-transformers exported to OpenVINO once and then computed without PyTorch.

The vectors of a new export are compared with PyTorch. An export loads in a tenth of the time that PyTorch takes.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import platformdirs

from similar_images import forks
from similar_images.files import replace_folder, sha256
from similar_images.inputs.names import names_digest, one_line
from similar_images.networks.onnx import IDS, MASK, create_once, min_cosine, openvino_compiler, to_tokens
from similar_images.networks.telemetry import import_openvino
from similar_images.networks.text_torch import FILES, TorchText, load_sentence_transformer, silence
from similar_images.records import read_record, write_record

MODEL, WEIGHTS, TOKENIZER, MANIFEST = "model.xml", "model.bin", "tokenizer.json", "manifest.json"
CHECKED_TEXTS = ("a dog runs", "How many vectors are there in an index of twenty thousand texts?")
MIN_COSINE = 0.999  # between the vectors of OpenVINO and PyTorch for CHECKED_TEXTS


@dataclass(frozen=True, kw_only=True)
class TextManifest:
    """The manifest of an export."""

    FORMAT: ClassVar[str] = "similar-images text network 1"
    source: str  # digest of the network's files
    tokens: int  # maximum of a text; longer texts are truncated
    prompt: str  # prefix of each text
    expected: list[list[float]]  # vectors (len(CHECKED_TEXTS), d) by PyTorch
    sha256: dict[str, str]  # by file

    def __post_init__(self) -> None:
        if len(self.expected) != len(CHECKED_TEXTS) or len({len(vector) for vector in self.expected}) != 1:
            raise ValueError(f"expected: expected {len(CHECKED_TEXTS)} vectors of one length")


class TextExport(NamedTuple):
    """A folder with a network and its tokenizer, which adds special tokens, truncates and pads; and its manifest."""

    folder: Path
    manifest: TextManifest


class OpenVinoText:
    """Computes an exported network with OpenVINO, on the CPU."""

    name = "openvino"

    def __init__(self, export: TextExport, precision: str = "float32"):
        """Raises ValueError if the processor lacks the precision, or OpenVINO and PyTorch give different vectors."""
        from tokenizers import Tokenizer

        compile_model = openvino_compiler(precision, extra="text")
        expected = np.array(export.manifest.expected, dtype=np.float32)
        self.tokens, self.dimension = export.manifest.tokens, expected.shape[1]
        self._prompt = export.manifest.prompt
        self._tokenizer = Tokenizer.from_file(str(export.folder / TOKENIZER))
        self._uncut = Tokenizer.from_file(str(export.folder / TOKENIZER))
        self._uncut.no_truncation()
        self._uncut.no_padding()
        self._inference_lock = forks.new_lock()
        self._compiled = compile_model(export.folder / MODEL)
        cosine = min_cosine(self(list(CHECKED_TEXTS)), expected)
        if not cosine >= MIN_COSINE:
            raise ValueError(
                f"OpenVINO computes other vectors than PyTorch: expected cosines of at least {MIN_COSINE}, got "
                f"{cosine:.6f}; use --engine torch"
            )

    def __call__(self, texts: list[str]) -> np.ndarray:
        tokens = to_tokens(self._tokenizer.encode_batch([self._prompt + one for one in texts]))
        with self._inference_lock:
            return np.array(self._compiled(tokens)[0])  # a copy

    def lengths(self, texts: list[str]) -> np.ndarray:
        """Return the number of tokens of each text before truncation, int (b,)."""
        return np.array([len(one.ids) for one in self._uncut.encode_batch(texts)], dtype=int)


def find_or_create_export(network: Path, name: str) -> TextExport:
    """Return the export of the network in a folder; several processes may call this at once.

    Raises OSError if it cannot be written, ValueError if the network cannot be exported or computes other vectors.
    """
    source = _digest_files(network)
    folder = platformdirs.user_cache_path("similar-images") / f"{name.replace('/', '--')}-{source[:16]}"
    return create_once(folder, lambda: _find_export(folder, source), lambda: _export(network, source, folder))


def _digest_files(network: Path) -> str:
    """Return a digest of the files of a network."""
    files = sorted({file for pattern in FILES for file in network.rglob(pattern)})
    digests = [f"{file.relative_to(network).as_posix()} {sha256(file)}" for file in files]
    return names_digest(digests)


def _find_export(folder: Path, source: str) -> TextExport | None:
    """Return the export in a folder; None if it is missing, damaged, or of files with another digest."""
    try:
        manifest = read_record(folder / MANIFEST, TextManifest)
        if manifest.source != source or manifest.sha256 != _digests(folder):
            return None
    except (OSError, ValueError):
        return None
    return TextExport(folder, manifest)


def _digests(folder: Path) -> dict[str, str]:
    return {name: sha256(folder / name) for name in (MODEL, WEIGHTS, TOKENIZER)}


def _export(network: Path, source: str, folder: Path) -> TextExport:
    """Write the export and its manifest, if it computes the same vectors as PyTorch."""
    model = load_sentence_transformer(network)
    prompt = model.prompts.get(model.default_prompt_name) or ""
    expected = TorchText(model)(list(CHECKED_TEXTS)).tolist()
    manifest = TextManifest(source=source, tokens=model.max_seq_length, prompt=prompt, expected=expected, sha256={})
    with replace_folder(folder) as partial:
        try:
            _write(model, partial)
            OpenVinoText(TextExport(partial, manifest))
        except Exception as error:  # the export of an unknown network may raise anything
            raise ValueError(f"OpenVINO cannot compute this network, use --engine torch: {one_line(error)}") from error
        manifest = replace(manifest, sha256=_digests(partial))
        write_record(partial / MANIFEST, manifest)
    return TextExport(folder, manifest)


def _write(model: Any, folder: Path) -> None:
    openvino = import_openvino("--engine openvino", "text")
    import torch
    from tokenizers import Tokenizer

    class Encoding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            given = {"input_ids": input_ids, "attention_mask": attention_mask}
            vectors: torch.Tensor = self.model(given)["sentence_embedding"]
            return vectors

    given = model.tokenizer
    example = given(list(CHECKED_TEXTS), padding=True, return_tensors="pt")
    with silence(), torch.no_grad():
        converted = openvino.convert_model(
            Encoding().eval(), example_input={name: example[name] for name in (IDS, MASK)}
        )
    openvino.save_model(converted, folder / MODEL, compress_to_fp16=False)
    tokenizer = Tokenizer.from_str(given.backend_tokenizer.to_str())
    tokenizer.enable_truncation(model.max_seq_length, direction=given.truncation_side)
    tokenizer.enable_padding(
        direction=given.padding_side,
        pad_id=given.pad_token_id,
        pad_type_id=given.pad_token_type_id,
        pad_token=given.pad_token,
    )
    tokenizer.save(str(folder / TOKENIZER))
