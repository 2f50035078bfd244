"""Small networks in the hub's form with random weights, and their vectors by the library transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIDE, TOKENS = 32, 16
WORDS = ["<pad>", "<unk>", "<s>", "</s>", "a", "dog", "runs", "on", "beach", "the", "cat"]
TEXTS = ["a dog runs on the beach", "the CAT", "a"]
VISION = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"image_size": SIDE, "patch_size": 8},
}
TEXT = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"vocab_size": len(WORDS), "max_position_embeddings": TOKENS},
}
READ_WORDS = ("clip", "siglip")
KINDS = (*READ_WORDS, "dinov2", "dinov3", "vit", "convnext")


def image(seed: int = 1, size: tuple[int, int] = (50, 80)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def model(kind: str):
    """Return a network with the same random weights in every run."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    pytest.importorskip("onnxscript", reason="networks of the hub are not installed: make install-text")
    torch.manual_seed(0)
    special = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    if kind == "clip":
        config = transformers.CLIPConfig(text_config=TEXT | special, vision_config=VISION, projection_dim=16)
        return transformers.CLIPModel(config).eval()
    if kind == "siglip":
        text = TEXT | special | {"projection_size": 32}
        return transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=VISION)).eval()
    if kind == "dinov2":  # another size than the images: positions are interpolated
        vision = {key: value for key, value in VISION.items() if key != "intermediate_size"} | {"image_size": 48}
        return transformers.Dinov2Model(transformers.Dinov2Config(**vision)).eval()
    if kind == "dinov3":
        return transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**VISION, num_register_tokens=4)).eval()
    if kind == "vit":
        return transformers.ViTModel(transformers.ViTConfig(**VISION)).eval()
    sizes = {"hidden_sizes": [8, 16, 32, 64], "depths": [1, 1, 1, 1], "image_size": SIDE}
    return transformers.ConvNextModel(transformers.ConvNextConfig(**sizes)).eval()


def processor(kind: str):
    """Return the library's own preparation of images, with Pillow."""
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    square = {"height": SIDE, "width": SIDE}
    return {
        "clip": lambda: CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=square),
        "siglip": lambda: SiglipImageProcessorPil(size=square),
        "dinov2": lambda: BitImageProcessorPil(size={"shortest_edge": 37}, crop_size=square),
        "dinov3": lambda: ViTImageProcessorPil(size=square),
        "vit": lambda: ViTImageProcessorPil(size=square),
        "convnext": lambda: ConvNextImageProcessorPil(size={"shortest_edge": SIDE}),
    }[kind]()


def tokenizer():
    """Return a tokenizer with the vocabulary WORDS, a start and an end token."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    known = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="<unk>"))
    known.pre_tokenizer, known.normalizer = pre_tokenizers.Whitespace(), normalizers.Lowercase()
    ends = [("<s>", 2), ("</s>", 3)]
    known.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=known, model_max_length=TOKENS, **special)


def save(kind: str, folder: Path, **options) -> Path:
    """Save a network, its preparation and its tokenizer; `options` are for save_pretrained."""
    network = model(kind)
    if options.pop("half", False):
        network = network.half()
    network.save_pretrained(folder, **options)
    processor(kind).save_pretrained(folder)
    if kind in READ_WORDS:
        tokenizer().save_pretrained(folder)
    return folder


def expected_image(folder: Path, kind: str, shown: Image.Image) -> np.ndarray:
    """Return the vector (d,) by transformers."""
    import torch
    from transformers import AutoModel

    given = processor(kind)(shown, return_tensors="pt")
    with torch.no_grad():
        network = AutoModel.from_pretrained(folder, dtype=torch.float32)
        if kind in READ_WORDS:
            return network.get_image_features(**given).pooler_output[0].numpy()
        out = network(**given)
        return (out.pooler_output if kind == "convnext" else out.last_hidden_state[:, 0]).flatten(1)[0].numpy()


def expected_words(folder: Path, kind: str, texts: list[str]) -> np.ndarray:
    """Return the vectors (b, d) by transformers."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    padding = "max_length" if kind == "siglip" else True  # as its documentation says
    given = AutoTokenizer.from_pretrained(folder)(
        texts, padding=padding, max_length=TOKENS, truncation=True, return_tensors="pt"
    )
    names = ("input_ids",) if kind == "siglip" else ("input_ids", "attention_mask")
    with torch.no_grad():
        network = AutoModel.from_pretrained(folder, dtype=torch.float32)
        return network.get_text_features(**{name: given[name] for name in names}).pooler_output.numpy()


def edit(file: Path, **entries) -> None:
    """Change entries of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))
