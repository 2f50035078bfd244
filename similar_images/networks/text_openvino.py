"""Networks of sentence-transformers exported to OpenVINO, and computed without PyTorch.

An export is created once, from the network, and checked against it; it loads in a tenth of the time PyTorch takes.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import platformdirs

from similar_images import forks
from similar_images.files import hold_lock, mismatch, read_json, replace_folder, sha256, write_json
from similar_images.inputs.names import names_digest
from similar_images.networks import text
from similar_images.networks.extras import need
from similar_images.networks.onnx import least_cosine
from similar_images.networks.telemetry import import_openvino

FORMAT = "similar-images text network 1"
MODEL, WEIGHTS, TOKENIZER, MANIFEST = "model.xml", "model.bin", "tokenizer.json", "manifest.json"
FORM: dict[str, Any] = {  # of the manifest
    "source": str,
    "tokens": int,
    "prompt": str,
    "expected": [[int | float]],
    "sha256": {MODEL: str, WEIGHTS: str, TOKENIZER: str},
}
CHECKED = ("a dog runs", "How many vectors are there in an index of twenty thousand texts?")
INPUTS = ("input_ids", "attention_mask")  # int64 (b, t)
COSINE = 0.999  # the least between the vectors of OpenVINO and PyTorch for these texts


class TextExport(NamedTuple):
    """A folder with a network and its tokenizer, which adds special tokens, truncates and pads."""

    folder: Path
    tokens: int  # of a text; the rest of a longer one is ignored
    prompt: str  # before each text
    expected: np.ndarray  # float32 (len(CHECKED), d), by PyTorch


class OpenVinoText:
    """Computes an exported network with OpenVINO, on the CPU."""

    name = "openvino"

    def __init__(self, export: TextExport, precision: str = "float32"):
        """Raises ValueError if the processor lacks the precision, or the vectors differ from those of PyTorch."""
        openvino = import_openvino("--engine openvino", "text")
        tokenizer = need("tokenizers", "text", "--engine openvino").Tokenizer
        core = openvino.Core()
        if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ValueError("this processor does not support bfloat16: omit --precision")
        settings = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        self.tokens, self.dimension = export.tokens, export.expected.shape[1]
        self._prompt = export.prompt
        self._tokenizer = tokenizer.from_file(str(export.folder / TOKENIZER))
        self._uncut = tokenizer.from_file(str(export.folder / TOKENIZER))
        self._uncut.no_truncation()
        self._uncut.no_padding()
        self._one_at_a_time = forks.new_lock()
        self._compiled = core.compile_model(core.read_model(export.folder / MODEL), "CPU", settings)
        cosine = least_cosine(self(list(CHECKED)), export.expected)
        if not cosine >= COSINE:
            raise ValueError(
                f"OpenVINO computes other vectors than PyTorch: expected cosines of at least {COSINE}, got "
                f"{cosine:.6f}; use --engine torch"
            )

    def __call__(self, texts: list[str]) -> np.ndarray:
        encodings = self._tokenizer.encode_batch([self._prompt + one for one in texts])
        given = [[one.ids for one in encodings], [one.attention_mask for one in encodings]]
        tokens = {name: np.array(values, dtype=np.int64) for name, values in zip(INPUTS, given, strict=True)}
        with self._one_at_a_time:
            return self._compiled(tokens)[0].copy()

    def lengths(self, texts: list[str]) -> np.ndarray:
        """Return the number of tokens of each text, int (b,), including those that are ignored."""
        return np.array([len(one.ids) for one in self._uncut.encode_batch(texts)], dtype=int)


def find_or_create_export(network: Path, name: str) -> TextExport:
    """Return the export of the network in a folder; several processes may call this at once.

    Raises OSError if it cannot be written, ValueError if the network cannot be exported or computes other vectors.
    """
    source = _source(network)
    folder = platformdirs.user_cache_path("similar-images") / f"{name.replace('/', '--')}-{source[:16]}"
    if export := _find_export(folder, source):
        return export
    folder.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder, wait=True):
        return _find_export(folder, source) or _export(network, source, folder)


def _source(network: Path) -> str:
    """Return a digest of the files of a network."""
    files = sorted({file for pattern in text.FILES for file in network.rglob(pattern)})
    digests = [f"{file.relative_to(network).as_posix()} {sha256(file)}" for file in files]
    return names_digest(digests)


def _find_export(folder: Path, source: str) -> TextExport | None:
    """Return the export in a folder; None if it is not there, damaged, or of other files than those of this digest."""
    try:
        manifest = read_json(folder / MANIFEST, FORMAT)
        if mismatch(manifest, FORM) or manifest["source"] != source or manifest["sha256"] != _digests(folder):
            return None
        expected = np.array(manifest["expected"], dtype=np.float32)
    except (OSError, ValueError):
        return None
    if expected.ndim != 2 or len(expected) != len(CHECKED):
        return None
    return TextExport(folder, manifest["tokens"], manifest["prompt"], expected)


def _digests(folder: Path) -> dict[str, str]:
    return {name: sha256(folder / name) for name in (MODEL, WEIGHTS, TOKENIZER)}


def _export(network: Path, source: str, folder: Path) -> TextExport:
    """Write the export and its manifest, if it computes the same vectors as PyTorch."""
    model = text.sentence_transformer(network)
    expected = text.Torch(model)(list(CHECKED))
    tokens, prompt = model.max_seq_length, model.prompts.get(model.default_prompt_name) or ""
    with replace_folder(folder) as partial:
        try:
            _write(model, partial)
            OpenVinoText(TextExport(partial, tokens, prompt, expected))
        except Exception as error:  # the export of an unknown network may raise anything
            reason = " ".join(str(error).split())
            raise ValueError(f"OpenVINO cannot compute this network, use --engine torch: {reason}") from error
        manifest = {"format": FORMAT, "source": source, "tokens": tokens, "prompt": prompt}
        write_json(partial / MANIFEST, {**manifest, "expected": expected.tolist(), "sha256": _digests(partial)})
    return TextExport(folder, tokens, prompt, expected)


def _write(model: Any, folder: Path) -> None:
    openvino = import_openvino("--engine openvino", "text")
    import torch
    from tokenizers import Tokenizer

    class Encoding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.model({"input_ids": input_ids, "attention_mask": attention_mask})["sentence_embedding"]

    given = model.tokenizer
    example = given(list(CHECKED), padding=True, return_tensors="pt")
    with text.quiet(), torch.no_grad():
        converted = openvino.convert_model(Encoding().eval(), example_input={name: example[name] for name in INPUTS})
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
