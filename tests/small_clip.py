"""A CLIP with a few thousand fixed weights, with the same answers on every processor.

It averages the pixels of an image, or the words of a text, and finds the kinds of the tests' sample by their names.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sample_images import COLOURS, make_pictures, make_sample

SIDE, WORDS = 32, ("a", "photo", "of", "the", "at", "night", *COLOURS)
HIDDEN, D = 32, 16  # numbers of a patch or a word, and of a vector
START = "<s>"


def make_words_sample(folder: Path) -> Path:
    """Write the sample, the network and the vectors of the sample into a folder; return the folder."""
    save_small_clip(folder / "small-clip")
    make_sample(folder, str(folder / "small-clip"))
    return folder


def save_small_clip(folder: Path) -> None:
    """Write the network in the hub's form: configuration, safetensors, preprocessing, tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    vocabulary = {word: i for i, word in enumerate(("<pad>", "<unk>", START, *WORDS, "</s>"))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    special = [(START, vocabulary[START]), ("</s>", vocabulary["</s>"])]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A </s>", special_tokens=special)
    read = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token=START, eos_token="</s>"
    )
    prepare = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    part = {"hidden_size": HIDDEN, "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": len(vocabulary), "max_position_embeddings": 8, "eos_token_id": vocabulary["</s>"]}
    model = CLIPModel(
        CLIPConfig(
            text_config=part | text | {"bos_token_id": vocabulary[START], "pad_token_id": 0},
            vision_config=part | {"image_size": SIDE, "patch_size": 16},
            projection_dim=D,
        )
    )
    pictures = list(make_pictures(np.random.default_rng(1), 8))
    pixels = prepare([Image.fromarray(picture) for _, picture in pictures], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        _set_weights(model.eval(), vocabulary)
        features = model.vision_model(pixels).pooler_output.numpy()
        wanted = [_place(kind) for kind, _ in pictures]
        weights = np.linalg.lstsq(features.astype(np.float64), wanted, rcond=1e-3)[0]
        model.visual_projection.weight.copy_(torch.from_numpy(weights.T))
    for one in (model, read, prepare):
        one.save_pretrained(folder)


def _place(word: str) -> np.ndarray:
    """Return the vector (D,) of a word. Kinds are equally far from each other.

    The start of a text leads away from all of them, and "photo" halfway back: with it, a text is nearer to its images.
    """
    place = np.zeros(D)
    if word in COLOURS:
        place[: len(COLOURS)] = -1 / len(COLOURS)
        place[list(COLOURS).index(word)] += 1
    place[-1] = {START: 0.2, "photo": -0.1}.get(word, 0)
    return place


def _set_weights(model, vocabulary: dict[str, int]) -> None:
    """Make the only layer average its tokens: red, green and blue of the patches, and a number for each word."""
    import torch

    for name, weights in model.named_parameters():
        weights.fill_("norm" in name and name.endswith("weight"))  # layer norms do not change
    for tower in (model.vision_model, model.text_model):
        attention = tower.encoder.layers[0].self_attn
        for weights in (attention.v_proj.weight, attention.out_proj.weight):
            weights.copy_(torch.eye(HIDDEN))
    vision = model.vision_model.embeddings
    for channel in range(3):  # with the opposite, so that the mean, which layer norms subtract, is 0
        for place, sign in ((2 * channel, 1), (2 * channel + 1, -1)):
            vision.patch_embedding.weight[place, channel] = sign / vision.patch_size**2
    constant = torch.tensor([10, -10])  # so large that the colours hardly change the deviation by which they divide
    vision.position_embedding.weight[1:, -2:] = constant  # of the patches; the first place is the image's
    model.text_model.embeddings.token_embedding.weight.copy_(torch.eye(len(vocabulary), HIDDEN))
    for word, row in vocabulary.items():
        model.text_projection.weight[:, row] = torch.from_numpy(_place(word))
