"""Networks of the hub in PyTorch, through the library transformers: what makes vectors of images, and of words.

Shape letters: b images or texts in a batch, t tokens, d numbers in a vector, r rows and c columns of positions.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from similar_images.inputs.preparation import Preparation
from similar_images.networks.extras import need
from similar_images.networks.hub_checks import CONFIG
from similar_images.networks.hub_files import HubNetwork
from similar_images.networks.hub_tokenizer import CHECKED, write_tokenizer
from similar_images.networks.onnx import IDS, INPUT, MASK, OPSET, OUTPUT, POSITIONS, check_same, noise, open_session
from similar_images.networks.text import quiet

if TYPE_CHECKING:
    import torch

NAFLEX = "siglip2"  # the model type of the variants for images of any shape; the others are called siglip
MAX_TOKENS = 512  # of a text, where neither the network nor its tokenizer says less


class Towers(NamedTuple):
    """The parts of a network as modules of PyTorch."""

    images: "torch.nn.Module"  # uint8 pixels (b, height, width, 3) -> float32 vectors (b, d) and positions (b, r, c, d or more)
    words: "torch.nn.Module | None"  # int64 (b, t) tokens, and their mask if the network knows one -> vectors (b, d)
    layer: str  # what the vector is
    tokens: int  # the most that the words' part has places for
    pads: bool  # whether a shorter text is padded to the most tokens, without a mask, as the network was trained


def load(network: HubNetwork, scaling: tuple[float, list[float], list[float]]) -> Towers:
    """Return the parts of a network whose files are checked; `scaling` as inputs.preparation.scaling gives it.

    Raises MissingExtra without transformers, ValueError for a network that it does not know, or that lacks weights.
    """
    transformers = need("transformers", "hub", network.name)
    torch = need("torch", "hub", network.name)
    kind = str(network.config(CONFIG).get("model_type"))
    if kind == NAFLEX:
        raise ValueError(
            f"{network.name} takes images of any shape (NaFlex), which is not possible here: choose a variant with a "
            f"fixed size, such as hf:google/siglip2-base-patch16-224"
        )
    if kind not in transformers.CONFIG_MAPPING:
        raise ValueError(
            f"{network.name} is of the type {kind}, which transformers {transformers.__version__} does not know"
        )
    with quiet():
        try:
            model, found = transformers.AutoModel.from_pretrained(
                str(network.folder),
                use_safetensors=True,
                output_loading_info=True,
                dtype=torch.float32,  # also of weights that are stored in half precision
                trust_remote_code=False,
                local_files_only=True,
            )
        except Exception as error:  # the library raises anything for what it does not know
            raise ValueError(f"{network.name} cannot be loaded by transformers: {one_line(error)}") from error
    model = model.eval().requires_grad_(False)
    text = getattr(model.config, "text_config", None)
    reads_words = hasattr(model, "get_text_features") and hasattr(model, "get_image_features") and text is not None
    unused = () if reads_words else ("pooler",)  # of vision transformers, whose class token is the vector
    if missing := sorted(name for name in found["missing_keys"] if not any(one in name for one in unused)):
        others = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise ValueError(f"{network.name} lacks weights: {missing[0]}{others}")
    tokens = int(getattr(text, "max_position_embeddings", None) or MAX_TOKENS)
    images, layer = _images(model, scaling, reads_words)
    pads = kind.startswith("siglip")
    return Towers(images, _words(model, pads) if reads_words else None, layer, tokens, pads)


def one_line(error: Exception) -> str:
    """Return an error of a library in one line, which is not too long."""
    return (" ".join(str(error).split()) or type(error).__name__)[:300]


def _images(model: Any, scaling: tuple[float, list[float], list[float]], reads_words: bool) -> tuple[Any, str]:
    """Return the module that makes vectors of pixels, and what of the network they are."""
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
            vectors = out.pooler_output if reads_words else _vector(out, height, width, patch)
            return vectors, _positions(out.last_hidden_state, height, width, patch)

    if reads_words:
        return Images().eval(), "image embedding"
    return Images().eval(), "class token or mean"


def _vector(out: Any, height: int, width: int, patch: Any) -> Any:
    """Return the class token where there is one, else the mean over positions, which is the pooled output of a convolution."""
    last = out.last_hidden_state
    if last.dim() == 4:
        return last.mean(dim=(2, 3)) if getattr(out, "pooler_output", None) is None else out.pooler_output.flatten(1)
    return last[:, 0] if _extra(last.shape[1], height, width, patch) else last.mean(dim=1)


def _extra(tokens: int, height: int, width: int, patch: Any) -> int:
    """Return how many tokens are not of a position: the class token and registers."""
    if not isinstance(patch, int):
        return 0
    return max(0, tokens - (height // patch) * (width // patch))


def _positions(last: Any, height: int, width: int, patch: Any) -> Any:
    """Return the last hidden state by its positions (b, r, c, d); without known positions one (b, 1, 1, d)."""
    if last.dim() == 4:
        return last.permute(0, 2, 3, 1)
    if not isinstance(patch, int) or last.shape[1] < (height // patch) * (width // patch):
        return last.mean(dim=1)[:, None, None]
    rows, columns = height // patch, width // patch
    return last[:, last.shape[1] - rows * columns :].reshape(last.shape[0], rows, columns, last.shape[2])


def _words(model: Any, pads: bool) -> Any:
    """Return the module that makes vectors of tokens."""
    import torch

    class Words(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.model.get_text_features(input_ids=input_ids, attention_mask=attention_mask).pooler_output

    class Padded(Words):
        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return self.model.get_text_features(input_ids=input_ids).pooler_output

    return (Padded if pads else Words)().eval()


def write(
    network: HubNetwork,
    preparation: Preparation,
    scaling: tuple[float, list[float], list[float]],
    images: Path,
    words: Path,
    tokenizer: Path,
) -> tuple[str, int]:
    """Write a network as ONNX and its tokenizer, if it reads words; return what the vector is, and its dimension.

    Raises ValueError for a network that cannot be exported, or of which ONNX computes other vectors.
    """
    need("onnxscript", "hub", f"the export of {network.name}")
    towers = load(network, scaling)
    try:
        d = _write_images(network, towers, preparation, images)
        if towers.words is not None and write_tokenizer(network, towers.tokens, towers.pads, tokenizer):
            _write_words(network, towers, tokenizer, words)
    except (OSError, ValueError):  # disk full, or the export was compared
        raise
    except Exception as error:  # the network takes something else than pixels, or PyTorch cannot export it
        raise ValueError(f"{network.name} cannot be exported to ONNX: {one_line(error)}") from error
    return towers.layer, d


def _write_images(network: HubNetwork, towers: Towers, preparation: Preparation, path: Path) -> int:
    """Write the part that makes vectors of images; return their dimension."""
    import torch

    pixels = torch.from_numpy(noise(2, preparation.shape))
    try:
        vectors, positions = towers.images(pixels)
    except Exception as error:  # a network of texts, or one that takes images and texts together
        raise ValueError(f"{network.name} makes no vectors of images alone: {one_line(error)}") from error
    _export(towers.images, (pixels,), path, [INPUT], [OUTPUT, POSITIONS], ({0: _batch()},))
    computed = open_session(path, 1).run([OUTPUT, POSITIONS], {INPUT: pixels.numpy()})
    for one, other in zip((vectors, positions), computed, strict=True):
        check_same(network.name, one.numpy().reshape(-1, one.shape[-1]), other.reshape(-1, one.shape[-1]))
    return vectors.shape[1]


def _write_words(network: HubNetwork, towers: Towers, tokenizer: Path, path: Path) -> None:
    """Write the part that makes vectors of words, as the tokenizer gives them."""
    import torch
    from tokenizers import Tokenizer

    assert towers.words is not None
    encodings = Tokenizer.from_file(str(tokenizer)).encode_batch(list(CHECKED))
    ids, mask = (
        torch.tensor(value) for value in zip(*((one.ids, one.attention_mask) for one in encodings), strict=True)
    )
    given = (ids,) if towers.pads else (ids, mask)
    length = torch.export.Dim("t", min=1, max=towers.tokens)
    sizes = ({0: _batch()},) if towers.pads else ({0: _batch(), 1: length},) * 2
    _export(towers.words, given, path, [IDS, MASK][: len(given)], [OUTPUT], sizes)
    session = open_session(path, 1)
    for part in (given, tuple(one[:1] if towers.pads else one[:1, : int(mask[0].sum())] for one in given)):
        feed = dict(zip((IDS, MASK), (one.numpy() for one in part), strict=False))
        check_same(network.name, towers.words(*part).numpy(), session.run([OUTPUT], feed)[0])


def _batch() -> Any:
    import torch

    return torch.export.Dim("b", min=1, max=4096)


def _export(module: Any, given: tuple, path: Path, inputs: list[str], outputs: list[str], sizes: tuple) -> None:
    import torch

    # It warns of each operator of torchvision, which is not needed.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with quiet(), torch.no_grad():
        torch.onnx.export(
            module,
            given,
            path,
            input_names=inputs,
            output_names=outputs,
            opset_version=OPSET,
            dynamic_shapes=sizes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


class TorchImages:
    """Computes vectors of images with PyTorch: on a GPU where there is one."""

    name = "torch"

    def __init__(
        self, network: HubNetwork, scaling: tuple[float, list[float], list[float]], precision: str = "float32"
    ):
        import torch

        self.weights = network.weights
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        if precision != "float32" and self._device == "cpu":
            raise ValueError(f"PyTorch computes float32 on a processor: for {precision} use --engine openvino")
        self._precision = getattr(torch, precision)
        self._images = load(network, scaling).images.to(self._device)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self.both(pixels)[0]

    def positions(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 (b, r, c, d): see Encoder.positions."""
        return self.both(pixels)[1]

    def both(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return vectors (b, d) and positions (b, r, c, d)."""
        import torch

        half = torch.autocast(self._device, self._precision, enabled=self._precision != torch.float32)
        with torch.inference_mode(), half:
            given = torch.tensor(pixels, device=self._device)  # a copy: pixels may be read-only
            vectors, positions = self._images(given)
            return vectors.float().cpu().numpy(), positions.float().cpu().numpy()
