"""Images to vectors, from the shell."""

import logging
from pathlib import Path
from typing import Any

import click

from similar_images.cli.options import FILE, NETWORK, PLACE, SIZE, Command, allow_outside_option, exclude_option
from similar_images.inputs.images import LIMITS, PILLOW_MAX_PIXELS, RESAMPLINGS, Limits
from similar_images.networks.catalog import DEFAULT_NETWORK, ENGINES, LEGACY_NETWORK, NETWORKS, PRECISIONS
from similar_images.vectors.manifest import DTYPES


@click.command("extract", cls=Command)
@click.option(
    "-l",
    "--list",
    "list_file",
    type=FILE,
    help="A list of images, one path per line, relative to -d.  [default: all images below -d, written to DIR_file_list.txt]",
)
@click.option(
    "-d",
    "--images",
    "place",
    type=PLACE,
    help="The images' folder, a .zip, .tar or .tar.gz, read in place, or an address such as s3://bucket/photos.  [default with -l: the current folder]",
)
@allow_outside_option
@exclude_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The vectors, a .npy file.  [default: LIST.saved_predictions.npy]",
)
@click.option(
    "--network",
    type=NETWORK,
    help=f"Embedding network: {', '.join(NETWORKS)}, a name on the Hugging Face hub, hf:OWNER/NAME[@REVISION], or a "
    f"folder with such a network.  [default: the network of the existing vectors; for new vectors {DEFAULT_NETWORK}, but "
    f"{LEGACY_NETWORK}, as in 2022, with -l, -m or --weights]",
)
@click.option(
    "-m",
    "--model",
    "model_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Load the network from this file (.h5, .keras); if it does not exist, save the network there.",
)
@click.option(
    "--weights",
    "weights_file",
    type=FILE,
    help="A file of weights for the network (.weights.h5, .h5).  [default: ImageNet's, downloaded by Keras]",
)
@click.option(
    "--resampling",
    type=click.Choice(RESAMPLINGS),
    help="How images are resized to the network's input.  [default: the network's own; vgg16: nearest, as in 2022]",
)
@click.option(
    "--engine",
    type=click.Choice(("auto", *ENGINES)),
    default="auto",
    show_default=True,
    help="The backend of the network; auto: on a GPU TensorFlow, or PyTorch for networks of the hub; else ONNX Runtime.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    help="The number format for computing; half precision needs hardware support.  [default: float32]",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads for the network.  [default: all cores]")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes that decode images; with --ray, workers with one network each.  [default: the cores that "
    "--threads leaves, else all; with --ray one per node]",
)
@click.option(
    "--ray",
    "cluster",
    metavar="[ADDRESS]",
    is_flag=False,
    flag_value="auto",
    help="Compute on the Ray cluster at this address, HOST:PORT, of which this machine is a node; without an address start Ray on "
    "this machine, and end it afterwards.",
)
@click.option(
    "--gpus-per-worker",
    "gpus",
    type=click.FloatRange(min=0),
    default=0,
    help="GPUs, or the part of one, for each worker of --ray.  [default: none]",
)
@click.option(
    "-b",
    "--batch",
    type=click.IntRange(min=1),
    help="Images per batch of the network.  [default: the fastest for the backend]",
)
@click.option("--max-memory", type=SIZE, default="2G", show_default=True, help="Memory for the default batch.")
@click.option(
    "--dtype", type=click.Choice(DTYPES), help="The number format of the vectors on disk.  [default: float32]"
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1, PILLOW_MAX_PIXELS),
    help="Larger images are skipped before they are decoded.  [default: images that would take more than 300 MB, decoded "
    "at a reduced scale if their format allows]",
)
@click.option(
    "--max-bytes",
    type=SIZE,
    default="200M",
    show_default=True,
    help="Larger files are skipped before they are read.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=LIMITS.seconds,
    show_default=True,
    help="Seconds to decode an image; a slower one is skipped.",
)
@click.option("--retry-skipped", is_flag=True, help="Retry skipped images.")
@click.option("--overwrite", is_flag=True, help="Rebuild all vectors and replace the existing ones.")
@click.option("-v", "--verbose", is_flag=True, help="Print details of the network.")
def main(
    list_file: Path | None,
    place: Path | None,
    allow_outside: bool | None,
    exclude: tuple[str, ...],
    output: Path | None,
    network: str | None,
    engine: str,
    workers: int | None,
    cluster: str | None,
    gpus: float,
    dtype: str | None,
    max_pixels: int | None,
    max_bytes: int,
    timeout: float,
    retry_skipped: bool,
    overwrite: bool,
    verbose: bool,
    **choice: Any,
) -> None:
    """Turn images into vectors, one row per image.

    Rerun the same command to resume an interrupted run, or to add new images of a list or folder. Unreadable images
    are skipped, with the reason; their rows are zeros.

    \b
    Examples:
      similar-images extract -d photos
      similar-images extract -d photos.zip --network efficientnetlite2
      similar-images extract -d photos --exclude private/ --exclude drafts/
      similar-images extract -d photos --network hf:google/siglip2-base-patch16-224
      similar-images extract -d s3://bucket/photos --ray HEAD:6379 --workers 8
      similar-images extract -l ms_coco_file_list.txt -d val2014 -m vgg_4096.h5
    """
    from similar_images.cli.progress import resumable
    from similar_images.events import Event
    from similar_images.vectors.extract import Executor, LocalExecutor, NetworkChoice, Options, extract
    from similar_images.vectors.items import list_images
    from similar_images.vectors.manifest import read_network_name
    from similar_images.vectors.store import vectors_path
    from similar_images.vectors.update import update_vectors

    if gpus and not cluster:
        raise ValueError("--gpus-per-worker is for --ray: without it the network takes the GPU of this machine")
    logging.getLogger("absl").setLevel(logging.ERROR)  # Keras calls .h5 legacy; here it is the file of 2022
    limits = Limits(max_pixels, max_bytes, timeout)
    images = list_images(list_file, place, output, bool(allow_outside), limits, exclude or None)
    output = output or vectors_path(images.list_file)
    if network is None:
        is_as_in_2022 = list_file or choice["model_file"] or choice["weights_file"]
        network = read_network_name(output) or (LEGACY_NETWORK if is_as_in_2022 else DEFAULT_NETWORK)
    network_choice = NetworkChoice(network, engine=None if engine == "auto" else engine, **choice)
    executor: Executor = LocalExecutor(network_choice, workers)
    if cluster:
        from similar_images.ray.executor import RayExecutor

        executor = RayExecutor(network_choice, workers, cluster, gpus)
    options = Options(dtype, overwrite, retry_skipped, verbose=verbose)
    with resumable("images") as progress:
        if list_file is not None:
            extract(images, output, executor, options, progress)
        elif (changes := update_vectors(images, output, executor, options, progress).changes).has_new_records:
            progress(Event(note=f"{changes}: run similar-images update, or build --add, for the index"))
    click.echo(output)
