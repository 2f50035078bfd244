"""Networks of the hub in PyTorch, through the library transformers: what makes vectors of images, and of words.

Shape letters: b images or texts in a batch, t tokens, d numbers in a vector, r rows and c columns of positions.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from similar_images.inputs.preparation import Preparation
from similar_images.networks.extras import need
from similar_images.networks.hub_files import HubNetwork
from similar_images.networks.onnx import IDS, INPUT, MASK, OPSET, OUTPUT, POSITIONS, check_same, noise, open_session
from similar_images.networks.text import quiet

if TYPE_CHECKING:
    import torch


class Towers(NamedTuple):
    """The parts of a network as modules of PyTorch."""

    images: "torch.nn.Module"  # uint8 pixels (b, height, width, 3) -> float32 vectors (b, d) and positions (b, r, c, d or more)
    words: "torch.nn.Module | None"  # int64 (b, t) tokens, and their mask if the network knows one -> vectors (b, d)
    layer: str  # what the vector is
    tokens: int  # the most that the words' part takes
    pads: bool  # whether a shorter text is padded to `tokens`, without a mask, as the network was trained


def load(network: HubNetwork, scaling: tuple[float, list[float], list[float]]) -> Towers:
    """Return the parts of a network whose files are checked; `scaling` as inputs.preparation.scaling gives it.

    Raises MissingExtra without transformers, ValueError for a network that it does not know, or that lacks weights.
    """
    transformers = need("transformers", "hub", network.name)
    torch = need("torch", "hub", network.name)
    options = {"trust_remote_code": False, "local_files_only": True}
    with quiet():
        try:
            model, found = transformers.AutoModel.from_pretrained(
                str(network.folder), use_safetensors=True, output_loading_info=True, dtype=torch.float32, **options
            )
        except Exception as error:  # the library raises anything for what it does not know
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"{network.name} cannot be loaded by transformers: {reason}") from error
    if missing := sorted(name for name in found["missing_keys"] if "pooler" not in name):
        raise ValueError(f"{network.name} lacks weights: {missing[0]} and {len(missing) - 1} others")
    model = model.eval().requires_grad_(False)
    reads_words = hasattr(model, "get_text_features") and hasattr(model, "get_image_features")
    kind = str(model.config.model_type)
    tokens = int(model.config.text_config.max_position_embeddings) if reads_words else 0
    images, layer = _images(model, scaling, reads_words)
    pads = kind.startswith("siglip")
    return Towers(images, _words(model, pads) if reads_words else None, layer, tokens, pads)


def _images(model: Any, scaling: tuple[float, list[float], list[float]], reads_words: bool) -> tuple[Any, str]:
    """Return the module that makes vectors of pixels, and what of the network they are."""
    import torch

    factor, mean, std = scaling
    patch = getattr(getattr(model.config, "vision_config", model.config), "patch_size", None)

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

    Raises ValueError if ONNX computes other vectors.
    """
    import torch

    need("onnxscript", "hub", f"the export of {network.name}")
    towers = load(network, scaling)
    batch = torch.export.Dim("b", min=1, max=4096)
    pixels = torch.from_numpy(noise(2, preparation.shape))
    vectors, positions = towers.images(pixels)
    _export(towers.images, (pixels,), images, [INPUT], [OUTPUT, POSITIONS], ({0: batch},))
    computed = open_session(images, 1).run([OUTPUT, POSITIONS], {INPUT: pixels.numpy()})
    for one, other in zip((vectors, positions), computed, strict=True):
        check_same(network.name, one.numpy().reshape(-1, one.shape[-1]), other.reshape(-1, one.shape[-1]))
    if towers.words is not None and write_tokenizer(network, towers, tokenizer):
        ids = torch.randint(0, 2, (2, towers.tokens), dtype=torch.int64)
        length = torch.export.Dim("t", min=1, max=towers.tokens)
        given = (ids,) if towers.pads else (ids, torch.ones_like(ids))
        sizes = ({0: batch},) if towers.pads else ({0: batch, 1: length},) * 2
        _export(towers.words, given, words, [IDS, MASK][: len(given)], [OUTPUT], sizes)
        feed = dict(zip((IDS, MASK), (one.numpy() for one in given), strict=False))
        check_same(network.name, towers.words(*given).numpy(), open_session(words, 1).run([OUTPUT], feed)[0])
    return towers.layer, vectors.shape[1]


def write_tokenizer(network: HubNetwork, towers: Towers, path: Path) -> bool:
    """Write the tokenizer, which adds special tokens, truncates and pads; return whether there is one that can be written."""
    transformers = need("transformers", "hub", network.name)
    from tokenizers import Tokenizer

    with quiet():
        try:
            given = transformers.AutoTokenizer.from_pretrained(
                str(network.folder), trust_remote_code=False, local_files_only=True
            )
        except Exception:  # the library raises anything where files or packages are missing: the images can be encoded
            return False
    if not getattr(given, "is_fast", False):
        return False
    tokenizer = Tokenizer.from_str(given.backend_tokenizer.to_str())
    tokenizer.enable_truncation(towers.tokens, direction=given.truncation_side)
    tokenizer.enable_padding(
        direction=given.padding_side,
        pad_id=given.pad_token_id or 0,
        pad_type_id=given.pad_token_type_id,
        pad_token=given.pad_token or "",
        length=towers.tokens if towers.pads else None,
    )
    tokenizer.save(str(path))
    return True


def _export(module: Any, given: tuple, path: Path, inputs: list[str], outputs: list[str], sizes: tuple) -> None:
    import torch

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

    def __init__(self, network: HubNetwork, scaling: tuple[float, list[float], list[float]]):
        import torch

        self.weights = network.weights
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._images = load(network, scaling).images.to(self._device)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self.both(pixels)[0]

    def positions(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 (b, r, c, d): see Encoder.positions."""
        return self.both(pixels)[1]

    def both(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return vectors (b, d) and positions (b, r, c, d)."""
        import torch

        with torch.inference_mode():
            vectors, positions = self._images(torch.from_numpy(pixels).to(self._device))
            return vectors.float().cpu().numpy(), positions.float().cpu().numpy()
