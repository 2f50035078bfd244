#!/usr/bin/env python3
"""Images to vectors, from the shell."""

import logging
from pathlib import Path

import click

from similar_images.command import FILE, FOLDER, Command
from similar_images.images import MAX_PIXELS, PILLOW_LIMIT, RESAMPLINGS
from similar_images.networks import NETWORKS


@click.command(cls=Command)
@click.option(
    "-l",
    "--list",
    "list_file",
    type=FILE,
    help="A path of an image a line, relative to -d.  [default: all images below -d, listed in DIR_file_list.txt]",
)
@click.option(
    "-d",
    "--images",
    "folder",
    type=FOLDER,
    help="The folder of the images.  [default with -l: the current folder]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The vectors, a .npy file.  [default: LIST.saved_predictions.npy]",
)
@click.option("--network", type=click.Choice(list(NETWORKS)), default="vgg16", show_default=True)
@click.option(
    "-m",
    "--model",
    "model_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Load the network from this file (.h5, .keras), or get it and save it there.",
)
@click.option(
    "--weights",
    "weights_file",
    type=FILE,
    help="Weights of your own for the network (.weights.h5, .h5).  [default: ImageNet's, downloaded by Keras]",
)
@click.option(
    "--resampling",
    type=click.Choice(RESAMPLINGS),
    help="How images are squeezed to the network's input.  [default: the network's own; vgg16: nearest, as in 2022]",
)
@click.option("-b", "--batch", type=click.IntRange(min=1), default=32, show_default=True, help="Images at once.")
@click.option(
    "--max-pixels",
    type=click.IntRange(1, PILLOW_LIMIT),
    default=MAX_PIXELS,
    show_default=True,
    help="Larger images are skipped before they are decoded.",
)
@click.option("--overwrite", is_flag=True, help="Make all vectors anew, in place of those that are there.")
@click.option("-v", "--verbose", is_flag=True, help="Say which network is used and what it does.")
def main(
    list_file: Path | None,
    folder: Path | None,
    output: Path | None,
    network: str,
    model_file: Path | None,
    weights_file: Path | None,
    resampling: str | None,
    batch: int,
    max_pixels: int,
    overwrite: bool,
    verbose: bool,
) -> None:
    """Turn images into vectors, a row an image.

    A run that was stopped goes on where it was when the same command is given again, and a list or folder that
    has grown costs only its new images. An image that cannot be read is skipped with its reason; its row is zeros.

    \b
    Examples:
      ./extract_image_vectors.py -d photos
      ./extract_image_vectors.py -d photos --network hog-colour
      ./extract_image_vectors.py -l ms_coco_file_list.txt -d val2014 -m vgg_4096.h5
    """
    from tqdm import tqdm

    from similar_images.extraction import extract, list_images
    from similar_images.networks import load
    from similar_images.vectors import Writer, manifest_path, vectors_path

    images = list_images(list_file, folder, output)
    for name in images.unlistable:
        click.echo(f"left out {name!r}: a name in a list is one line of UTF-8", err=True)
    folder, output = folder or Path(), output or vectors_path(images.list_file)
    writer = Writer(output, images.list_file, images.names, folder, overwrite)
    logging.getLogger("absl").setLevel(logging.ERROR)  # Keras calls .h5 legacy; here it is the file of 2022
    encoder = load(network, model_file, weights_file, resampling)
    if verbose:
        click.echo("\n".join(f"{key}: {value}" for key, value in encoder.description.items()), err=True)
    writer.check(encoder.description)
    if writer.is_whole:
        click.echo(f"{output} is whole already, {len(images.names)} rows; --overwrite makes it anew", err=True)
        click.echo(output)
        return
    writer.begin(encoder.description, {"model": model_file, "weights": weights_file})

    skipped = writer.skipped
    with tqdm(total=len(images.names), initial=writer.rows_done, unit=" images", disable=None) as bar:

        def progress(rows: int, newly_skipped: list) -> None:
            nonlocal skipped
            skipped += len(newly_skipped)
            for image in newly_skipped:
                bar.write(f"skipped {image.name}: {image.reason}", file=click.get_text_stream("stderr"))
            bar.set_postfix(skipped=skipped, refresh=False)
            bar.update(rows)

        try:
            extract(images.names, folder, encoder, writer, batch, max_pixels, progress)
        except KeyboardInterrupt:
            bar.close()
            raise click.ClickException(
                f"stopped after {writer.rows_done} of {len(images.names)} images; the same command goes on there"
            ) from None
    total = len(images.names)
    where = f": see {manifest_path(output)}" if skipped else ""
    click.echo(f"{total - skipped} of {total} images, {skipped} skipped{where}", err=True)
    click.echo(output)


if __name__ == "__main__":
    main()
