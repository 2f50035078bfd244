"""Networks of the hub in PyTorch, through the library transformers: load, export, and compute on a GPU.

Shape letters: b images or texts in a batch, t tokens, d numbers in a vector, r rows and c columns of positions.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from similar_images.inputs.images import Preparation
from similar_images.inputs.names import one_line
from similar_images.networks.extras import need
from similar_images.networks.hub_checks import CONFIG, SENTENCEPIECE, TOKENIZER, VOCABULARIES
from similar_images.networks.hub_files import IMAGES, WORDS, HubNetwork, Scaling
from similar_images.networks.onnx import (
    IDS,
    INPUT,
    MASK,
    OPSET,
    OUTPUT,
    POSITIONS,
    check_export,
    open_session,
    random_pixels,
    to_tokens,
)
from similar_images.networks.text_torch import silence

if TYPE_CHECKING:
    import torch

NAFLEX = "siglip2"  # model type of the variants for images of any shape; SigLIP 2 of fixed size is called siglip
MAX_TOKENS = 512  # for a network that gives no maximum
# Texts whose tokens are compared with transformers' tokenizer, and whose vectors are compared with PyTorch.
CHECKED_TEXTS = ("A dog runs on the beach.", "two cats", "  The  KING's 3 boats, seen from above - in July!")


class Towers(NamedTuple):
    """The parts of a network as PyTorch modules."""

    images: "torch.nn.Module"  # uint8 pixels (b, height, width, 3) -> float32 vectors (b, d), positions (b, r, c, any)
    words: "torch.nn.Module | None"  # int64 tokens (b, t), and their mask unless padded -> vectors (b, d)
    layer: str  # the layer or output with the vectors
    tokens: int  # maximum of the words' part
    pads: bool  # whether texts are padded to the maximum, without a mask, as in training


def load(network: HubNetwork, scaling: Scaling) -> Towers:
    """Return the parts of a network with checked files.

    Raises MissingExtra without transformers, ValueError if the type of network is unknown or weights are missing.
    """
    need("transformers", "hub", network.name)
    need("torch", "hub", network.name)
    kind = str(network.config(CONFIG).get("model_type"))
    model = _load_model(network, kind)
    text = getattr(model.config, "text_config", None)
    reads_words = hasattr(model, "get_text_features") and hasattr(model, "get_image_features") and text is not None
    tokens = int(getattr(text, "max_position_embeddings", None) or MAX_TOKENS)
    images, layer = _image_module(model, scaling, reads_words)
    pads = kind.startswith("siglip")
    return Towers(images, _word_module(model, pads) if reads_words else None, layer, tokens, pads)


def _load_model(network: HubNetwork, kind: str) -> Any:
    import torch
    import transformers

    if kind == NAFLEX:
        raise ValueError(
            f"{network.name} takes images of any shape (NaFlex), not of a fixed size: choose a variant with a "
            f"fixed size, such as hf:google/siglip2-base-patch16-224"
        )
    if kind not in transformers.CONFIG_MAPPING:
        raise ValueError(f"{network.name} is of the type {kind}, unknown to transformers {transformers.__version__}")
    with silence():
        try:
            model, found = transformers.AutoModel.from_pretrained(
                str(network.folder),
                use_safetensors=True,
                output_loading_info=True,
                dtype=torch.float32,  # also for weights in half precision
                trust_remote_code=False,
                local_files_only=True,
            )
        except Exception as error:  # the library raises anything for unknown content
            raise ValueError(f"{network.name} cannot be loaded by transformers: {one_line(error)}") from error
    has_text = hasattr(model, "get_text_features") and getattr(model.config, "text_config", None) is not None
    unused = () if has_text else ("pooler",)  # the class token of a vision transformer is the vector
    if missing := sorted(name for name in found["missing_keys"] if not any(one in name for one in unused)):
        more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise ValueError(f"{network.name} lacks weights: {missing[0]}{more}")
    return model.eval().requires_grad_(False)


def _image_module(model: Any, scaling: Scaling, reads_words: bool) -> tuple[Any, str]:
    """Return the module from pixels to vectors, and the layer of the vectors."""
    import torch

    factor, mean, std = scaling
    patch = getattr(getattr(model.config, "vision_config", None) or model.config, "patch_size", None)
    patch = patch[0] if isinstance(patch, (list, tuple)) and len(set(patch)) == 1 else patch

    class Images(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.mean = torch.nn.Buffer(torch.tensor(mean).view(1, 3, 1, 1))
            self.std = torch.nn.Buffer(torch.tensor(std).view(1, 3, 1, 1))

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            given = (pixels.permute(0, 3, 1, 2).float() * factor - self.mean) / self.std
            height, width = given.shape[2:]
            out = self.model.get_image_features(pixel_values=given) if reads_words else self.model(pixel_values=given)
            vectors = out.pooler_output if reads_words else _pool(out, height, width, patch)
            return vectors, _positions(out.last_hidden_state, height, width, patch)

    return Images().eval(), "image embedding" if reads_words else "class token or mean"


def _pool(out: Any, height: int, width: int, patch: Any) -> Any:
    """Return the class token if there is one, else the mean over positions, for a convolution the pooled output."""
    last = out.last_hidden_state
    if last.dim() == 4:
        return last.mean(dim=(2, 3)) if getattr(out, "pooler_output", None) is None else out.pooler_output.flatten(1)
    has_class_token = isinstance(patch, int) and last.shape[1] > (height // patch) * (width // patch)
    return last[:, 0] if has_class_token else last.mean(dim=1)


def _positions(last: Any, height: int, width: int, patch: Any) -> Any:
    """Return the last hidden state by its positions (b, r, c, d); (b, 1, 1, d) if positions are unknown."""
    if last.dim() == 4:
        return last.permute(0, 2, 3, 1)
    if not isinstance(patch, int) or last.shape[1] < (height // patch) * (width // patch):
        return last.mean(dim=1)[:, None, None]
    rows, columns = height // patch, width // patch
    return last[:, last.shape[1] - rows * columns :].reshape(last.shape[0], rows, columns, last.shape[2])


def _word_module(model: Any, pads: bool) -> Any:
    """Return the module from tokens to vectors."""
    import torch

    class Words(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            features = self.model.get_text_features(input_ids=input_ids, attention_mask=attention_mask)
            vectors: torch.Tensor = features.pooler_output
            return vectors

    class Padded(Words):
        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            vectors: torch.Tensor = self.model.get_text_features(input_ids=input_ids).pooler_output
            return vectors

    return (Padded if pads else Words)().eval()


def export(network: HubNetwork, preparation: Preparation, scaling: Scaling, folder: Path) -> tuple[str, int]:
    """Write a network as ONNX and, if it reads words, its tokenizer; return the vectors' layer and dimension.

    Raises ValueError for a network that cannot be exported, or if the vectors of ONNX Runtime differ.
    """
    need("onnxscript", "hub", f"the export of {network.name}")
    towers = load(network, scaling)
    try:
        d = _write_images(network, towers, preparation, folder / IMAGES)
        if towers.words is not None and write_tokenizer(network, towers.tokens, towers.pads, folder / TOKENIZER):
            _write_words(network, towers, folder)
    except (OSError, ValueError):  # disk full, or different vectors
        raise
    except Exception as error:  # PyTorch raises anything for an unsupported network
        raise ValueError(f"{network.name} cannot be exported to ONNX: {one_line(error)}") from error
    return towers.layer, d


def write_tokenizer(network: HubNetwork, max_tokens: int, pads: bool, path: Path) -> bool:
    """Write the tokenizer for the library tokenizers, with truncation and padding; return False if that is impossible.

    With `pads` all texts are padded to the maximum. Raises MissingExtra.
    """
    if not any((network.folder / name).is_file() for name in (TOKENIZER, *VOCABULARIES)):
        return False  # transformers would create an empty tokenizer
    if any((network.folder / name).is_file() for name in SENTENCEPIECE):
        need("sentencepiece", "hub", f"the tokenizer of {network.name}")
    transformers = need("transformers", "hub", network.name)
    with silence():
        try:
            original = transformers.AutoTokenizer.from_pretrained(
                str(network.folder), trust_remote_code=False, local_files_only=True
            )
            expected = [original(text)["input_ids"] for text in CHECKED_TEXTS]
        except Exception:  # the library raises anything for missing files: images can still be encoded
            return False
    if getattr(original, "is_fast", False):
        tokenizer = Tokenizer.from_str(original.backend_tokenizer.to_str())
    elif (network.folder / TOKENIZER).is_file():
        tokenizer = Tokenizer.from_file(str(network.folder / TOKENIZER))
    else:
        return False
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if [one.ids for one in tokenizer.encode_batch(list(CHECKED_TEXTS))] != expected:
        return False
    tokens = min(max_tokens, original.model_max_length)
    tokenizer.enable_truncation(tokens, direction=original.truncation_side)
    tokenizer.enable_padding(
        direction=original.padding_side,
        pad_id=original.pad_token_id or 0,
        pad_type_id=original.pad_token_type_id,
        pad_token=original.pad_token or "",
        length=tokens if pads else None,
    )
    tokenizer.save(str(path))
    return True


def _write_images(network: HubNetwork, towers: Towers, preparation: Preparation, path: Path) -> int:
    """Write the module for images; return the dimension of its vectors."""
    import torch

    pixels = torch.from_numpy(random_pixels(2, preparation.shape))
    try:
        vectors, positions = towers.images(pixels)
    except Exception as error:  # a network for texts, or for images and texts together
        raise ValueError(f"{network.name} does not encode images alone: {one_line(error)}") from error
    _write_module(towers.images, {INPUT: pixels}, [OUTPUT, POSITIONS], ({0: _batch()},), path)
    computed = open_session(path, 1).run([OUTPUT, POSITIONS], {INPUT: pixels.numpy()})
    for one, other in zip((vectors, positions), computed, strict=True):
        check_export(network.name, one.numpy().reshape(-1, one.shape[-1]), other.reshape(-1, one.shape[-1]))
    return int(vectors.shape[1])


def _write_words(network: HubNetwork, towers: Towers, folder: Path) -> None:
    """Write the module for words, with the inputs that the tokenizer gives."""
    import torch

    assert towers.words is not None
    tokens = to_tokens(Tokenizer.from_file(str(folder / TOKENIZER)).encode_batch(list(CHECKED_TEXTS)))
    given = {name: torch.from_numpy(tokens[name]) for name in ((IDS,) if towers.pads else (IDS, MASK))}
    length = torch.export.Dim("t", min=1, max=towers.tokens)
    sizes = ({0: _batch()},) if towers.pads else ({0: _batch(), 1: length},) * 2
    _write_module(towers.words, given, [OUTPUT], sizes, folder / WORDS)
    session = open_session(folder / WORDS, 1)
    first_length = tokens[IDS].shape[1] if towers.pads else int(tokens[MASK][0].sum())
    for part in (given, {name: one[:1, :first_length] for name, one in given.items()}):
        computed = session.run([OUTPUT], {name: one.numpy() for name, one in part.items()})[0]
        check_export(network.name, towers.words(*part.values()).numpy(), computed)


def _batch() -> Any:
    import torch

    return torch.export.Dim("b", min=1, max=4096)


def _write_module(module: Any, inputs: dict[str, Any], outputs: list[str], sizes: tuple[Any, ...], path: Path) -> None:
    """Write a module as ONNX; `sizes` names the variable sizes of each input."""
    import torch

    # It warns about each operator of torchvision.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with silence(), torch.no_grad():
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            path,
            input_names=list(inputs),
            output_names=outputs,
            opset_version=OPSET,
            dynamic_shapes=sizes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


class TorchImages:
    """Encodes images with PyTorch, on a GPU if there is one."""

    name = "torch"

    def __init__(self, network: HubNetwork, scaling: Scaling, precision: str = "float32"):
        import torch

        self.weights = network.weights
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        if precision != "float32" and self._device == "cpu":
            raise ValueError(f"PyTorch computes float32 on a processor: for {precision} use --engine openvino")
        self._precision = getattr(torch, precision)
        self._images = load(network, scaling).images.to(self._device)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self._compute(pixels)[0]

    def positions(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 (b, r, c, d): see Encoder.positions."""
        return self._compute(pixels)[1]

    def _compute(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return vectors (b, d) and positions (b, r, c, d)."""
        import torch

        half = torch.autocast(self._device, self._precision, enabled=self._precision != torch.float32)
        with torch.inference_mode(), half:
            given = torch.tensor(pixels, device=self._device)  # a copy: pixels may be read-only
            vectors, positions = self._images(given)
            return vectors.float().cpu().numpy(), positions.float().cpu().numpy()
