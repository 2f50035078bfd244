"""A CLIP of a few thousand weights, trained within seconds to tell the kinds of the tests' sample by their names."""

from pathlib import Path

import numpy as np
from PIL import Image
from sample_images import COLOURS, make_pictures, make_sample

SIDE, WORDS = 32, ("a", "photo", "of", "the", "at", "night", *COLOURS)
SAID = ("{}", "the {}", "a photo of the {}")
STEPS = 210


def make_words_sample(folder: Path) -> Path:
    """Write the sample with its vectors by such a network, and the network, into a folder; return it."""
    save_small_clip(folder / "small-clip")
    make_sample(folder, str(folder / "small-clip"))
    return folder


def save_small_clip(folder: Path) -> None:
    """Write it as the hub's networks are written: configuration, safetensors, preprocessing, tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    vocabulary = {word: i for i, word in enumerate(("<pad>", "<unk>", "<s>", *WORDS, "</s>"))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    special = [("<s>", vocabulary["<s>"]), ("</s>", vocabulary["</s>"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=special)
    read = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    prepare = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    part = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": len(vocabulary), "max_position_embeddings": 8, "eos_token_id": vocabulary["</s>"]}
    torch.manual_seed(0)
    model = CLIPModel(
        CLIPConfig(
            text_config=part | text | {"bos_token_id": vocabulary["<s>"], "pad_token_id": 0},
            vision_config=part | {"image_size": SIDE, "patch_size": 16},
            projection_dim=16,
        )
    )
    pictures = [(kind, picture) for kind, picture in make_pictures(np.random.default_rng(1), 8)]
    pixels = prepare([Image.fromarray(picture) for _, picture in pictures], return_tensors="pt")["pixel_values"]
    kinds = list(COLOURS)
    wanted = torch.tensor([kinds.index(kind) for kind, _ in pictures])
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(STEPS):
        said = [SAID[step % len(SAID)].format(kind) for kind in kinds]
        output = model(**read(said, padding=True, return_tensors="pt"), pixel_values=pixels)
        loss = torch.nn.functional.cross_entropy(output.logits_per_image, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for one in (model.eval(), read, prepare):
        one.save_pretrained(folder)
