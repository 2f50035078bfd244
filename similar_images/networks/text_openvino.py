"""Networks of sentence-transformers exported to OpenVINO, and computed without PyTorch.

The export is made once, from the very network, and held against it; it is ready in a tenth of PyTorch's time.
"""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import platformdirs

from similar_images.files import read_json, sha256, write_json
from similar_images.inputs.names import names_digest
from similar_images.networks import text as text_networks

FORMAT = "similar-images text network 1"
MODEL, WEIGHTS, TOKENIZER, MANIFEST = "model.xml", "model.bin", "tokenizer.json", "manifest.json"
CHECKED = ("a dog runs", "How many vectors are there in an index of twenty thousand texts?")
INPUTS = ("input_ids", "attention_mask")  # int64 (b, t)
COSINE = 0.999  # that what OpenVINO gives for these texts must reach with what PyTorch gave


class Exported(NamedTuple):
    """A folder with a network and its tokenizer, which adds, cuts and pads as the network wants it."""

    folder: Path
    tokens: int  # of a text; what comes after them is not seen
    prompt: str  # before each text
    expected: np.ndarray  # float32 (len(CHECKED), d), by PyTorch


class OpenVino:
    """A network as OpenVINO computes it, on the CPU."""

    name = "openvino"

    def __init__(self, exported: Exported, precision: str = "float32"):
        """Raises ValueError where the processor lacks the precision, or vectors are not what PyTorch gave."""
        import openvino
        from tokenizers import Tokenizer

        core = openvino.Core()
        if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ValueError("this processor has no bfloat16: leave --precision out")
        settings = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        self.tokens, self.dimension = exported.tokens, exported.expected.shape[1]
        self._prompt = exported.prompt
        self._tokenizer = Tokenizer.from_file(str(exported.folder / TOKENIZER))
        self._uncut = Tokenizer.from_file(str(exported.folder / TOKENIZER))
        self._uncut.no_truncation()
        self._uncut.no_padding()
        self._one_at_a_time = Lock()
        self._compiled = core.compile_model(core.read_model(exported.folder / MODEL), "CPU", settings)
        cosine = _least_cosine(self(list(CHECKED)), exported.expected)
        if not cosine >= COSINE:
            raise ValueError(
                f"OpenVINO does not compute what PyTorch does: expected cosines of at least {COSINE}, got "
                f"{cosine:.6f}; pass --engine torch"
            )

    def __call__(self, texts: list[str]) -> np.ndarray:
        encodings = self._tokenizer.encode_batch([self._prompt + text for text in texts])
        given = [[one.ids for one in encodings], [one.attention_mask for one in encodings]]
        tokens = {name: np.array(values, dtype=np.int64) for name, values in zip(INPUTS, given, strict=True)}
        with self._one_at_a_time:
            return self._compiled(tokens)[0].copy()

    def lengths(self, texts: list[str]) -> np.ndarray:
        """Return the number of tokens of each text, int (b,), as the network would see it whole."""
        return np.array([len(one.ids) for one in self._uncut.encode_batch(texts)], dtype=int)


def exported(network: Path, name: str) -> Exported:
    """Return the export of the network in a folder; it is made where there is none of the same files.

    Raises OSError where it cannot be kept, ValueError where the network cannot be exported or computes something else.
    """
    source = _source(network)
    folder = platformdirs.user_cache_path("similar-images") / f"{name.replace('/', '--')}-{source[:16]}"
    known = _known(folder, source)
    if known is None:
        _export(network, source, folder)
        known = _known(folder, source)
    return known


def _source(network: Path) -> str:
    """Return a digest of the files of a network."""
    files = sorted({file for pattern in text_networks.FILES for file in network.rglob(pattern)})
    digests = [f"{file.relative_to(network).as_posix()} {sha256(file)}" for file in files]
    return names_digest(digests)


def _known(folder: Path, source: str) -> Exported | None:
    """Return what is in a folder where it is whole, and was made from files of this digest."""
    try:
        manifest = read_json(folder / MANIFEST, FORMAT)
        if manifest["source"] != source or manifest["sha256"] != _digests(folder):
            return None
    except (OSError, ValueError, KeyError):
        return None
    return Exported(folder, manifest["tokens"], manifest["prompt"], np.float32(manifest["expected"]))


def _digests(folder: Path) -> dict[str, str]:
    return {name: sha256(folder / name) for name in (MODEL, WEIGHTS, TOKENIZER)}


def _export(network: Path, source: str, folder: Path) -> None:
    """Write the export and its manifest, once it computes what PyTorch computes."""
    model = text_networks.sentence_transformer(network)
    expected = text_networks.Torch(model)(list(CHECKED))
    manifest = {
        "format": FORMAT,
        "source": source,
        "tokens": model.max_seq_length,
        "prompt": model.prompts.get(model.default_prompt_name) or "",
        "expected": expected.tolist(),
    }
    with _replacing(folder) as partial:
        try:
            _write(model, partial)
            OpenVino(Exported(partial, manifest["tokens"], manifest["prompt"], expected))
        except Exception as error:  # of whatever kind the export of an unknown network fails with
            reason = " ".join(str(error).split())
            raise ValueError(f"OpenVINO cannot compute this network, pass --engine torch: {reason}") from error
        write_json(partial / MANIFEST, {**manifest, "sha256": _digests(partial)})


def _write(model, folder: Path) -> None:
    import openvino
    import torch
    from tokenizers import Tokenizer

    class Encoding(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask):
            return self.model({"input_ids": input_ids, "attention_mask": attention_mask})["sentence_embedding"]

    given = model.tokenizer
    example = given(list(CHECKED), padding=True, return_tensors="pt")
    with text_networks.quiet(), torch.no_grad():
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


@contextmanager
def _replacing(folder: Path):
    """Yield a new folder beside `folder`, which takes its place at the end; nothing is left of one that failed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield partial
        shutil.rmtree(folder, ignore_errors=True)  # which was damaged
        try:
            partial.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _least_cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / lengths).min())
