"""Images to vectors, from the shell."""

import logging
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from similar_images.cli.options import (
    FILE,
    Bytes,
    Command,
    NetworkName,
    Place,
    allow_outside_option,
    sigterm_interrupts,
    this_command,
)
from similar_images.inputs.images import LIMITS, OVER_LIMIT, PILLOW_MAX_PIXELS, RESAMPLINGS, Limits
from similar_images.inputs.names import escape_controls, escape_line, is_blank
from similar_images.networks.catalog import ENGINES, NETWORKS, OF_2022, OF_A_FOLDER, PRECISIONS
from similar_images.vectors.store import DTYPES


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
    type=Place(),
    help="The images' folder, a .zip, .tar or .tar.gz, read in place, or an address such as s3://bucket/photos.  [default with -l: the current folder]",
)
@allow_outside_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The vectors, a .npy file.  [default: LIST.saved_predictions.npy]",
)
@click.option(
    "--network",
    type=NetworkName(),
    help=f"What turns an image into a vector: {', '.join(NETWORKS)}, a network of the Hugging Face hub by its name, "
    "hf:OWNER/NAME[@REVISION], or a folder with one.  [default: that of the existing vectors; for new ones "
    f"{OF_A_FOLDER}, but {OF_2022}, as in 2022, with -l, -m or --weights]",
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
    help="The backend that computes the network; auto: on a GPU TensorFlow, or PyTorch for the hub's; else ONNX Runtime.",
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
    help="Processes that decode images; with --ray, workers that have a network each.  [default: the cores that "
    "--threads leaves, else all; with --ray one a node]",
)
@click.option(
    "--ray",
    "cluster",
    metavar="[ADDRESS]",
    is_flag=False,
    flag_value="auto",
    help="Compute on the Ray cluster at this address, HOST:PORT, of which this machine is a node; without an address Ray is started on "
    "this machine, and ended.",
)
@click.option(
    "--gpus-per-worker",
    "gpus",
    type=click.FloatRange(min=0),
    default=0,
    help="GPUs, or the part of one, that each worker of --ray gets.  [default: none]",
)
@click.option(
    "-b",
    "--batch",
    type=click.IntRange(min=1),
    help="Images that the network computes at once.  [default: the fastest for the backend]",
)
@click.option("--max-memory", type=Bytes(), default="2G", show_default=True, help="Memory for the default batch.")
@click.option(
    "--dtype", type=click.Choice(DTYPES), help="The number format of the vectors on disk.  [default: float32]"
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1, PILLOW_MAX_PIXELS),
    default=LIMITS.pixels,
    show_default=True,
    help="Larger images are skipped before they are decoded.",
)
@click.option(
    "--max-bytes",
    type=Bytes(),
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
@click.option("--retry-skipped", is_flag=True, help="Retry images that were skipped.")
@click.option("--overwrite", is_flag=True, help="Rebuild all vectors and replace the existing ones.")
@click.option("-v", "--verbose", is_flag=True, help="Print details of the network.")
def main(
    list_file: Path | None,
    place: Path | None,
    allow_outside: bool | None,
    output: Path | None,
    network: str | None,
    model_file: Path | None,
    weights_file: Path | None,
    resampling: str | None,
    engine: str,
    precision: str | None,
    threads: int | None,
    workers: int | None,
    cluster: str | None,
    gpus: float,
    batch: int | None,
    max_memory: int,
    dtype: str | None,
    max_pixels: int,
    max_bytes: int,
    timeout: float,
    retry_skipped: bool,
    overwrite: bool,
    verbose: bool,
) -> None:
    """Turn images into vectors, one row per image.

    Rerun the same command to resume a run that was stopped, or to add the new images of a list or folder that has
    grown. An image that cannot be read is skipped, with the reason; its row is zeros.

    \b
    Examples:
      similar-images extract -d photos
      similar-images extract -d photos.zip --network efficientnetlite2
      similar-images extract -d photos --network hf:google/siglip2-base-patch16-224
      similar-images extract -d s3://bucket/photos --ray HEAD:6379 --workers 8
      similar-images extract -l ms_coco_file_list.txt -d val2014 -m vgg_4096.h5
    """
    from tqdm import tqdm

    from similar_images.networks.hub_files import folder_of
    from similar_images.vectors.decode_pool import default_workers
    from similar_images.vectors.from_images import due, encoded, list_images, load_encoder, write, write_skipped
    from similar_images.vectors.manifest import recorded_network
    from similar_images.vectors.store import skipped_path, vectors_path
    from similar_images.vectors.writer import Writer

    def say(message: object) -> None:
        click.echo(escape_controls(str(message)), err=True)

    if gpus and not cluster:
        raise ValueError("--gpus-per-worker is for --ray: without it the network takes the GPU of this machine")
    images = list_images(list_file, place, output, bool(allow_outside))
    for note in images.notes:
        say(note)
    output = output or vectors_path(images.list_file)
    if network is None:
        network = recorded_network(output) or (OF_2022 if list_file or model_file or weights_file else OF_A_FOLDER)
    source = images.source
    writer = Writer(output, images.list_file, images.names, source.path, overwrite, source.allow_outside)
    writer.check_name(network)
    logging.getLogger("absl").setLevel(logging.ERROR)  # Keras calls .h5 legacy; here it is the file of 2022
    loading = (network, model_file, weights_file, resampling, None if engine == "auto" else engine, precision, threads)
    limits = Limits(max_pixels, max_bytes, timeout)
    with ExitStack() as stack:
        if cluster:
            from similar_images.cluster.extraction import Loading, Workers
            from similar_images.cluster.ray_session import session

            ray = stack.enter_context(session(cluster))
            to_load = Loading(*loading, batch)
            on_ray = Workers(ray, source, images.names, to_load, writer.engine, max_memory, workers, gpus, limits, say)
            description, computed, compute = on_ray.description, on_ray.computed, on_ray.encoded
        else:
            encoder, computed = load_encoder(writer.engine, *loading, batch, max_memory, say)
            description, decoders = encoder.description, workers or default_workers(threads)
            compute = partial(encoded, images.names, source, encoder, computed["batch"], limits, decoders)
        if verbose:
            say("\n".join(f"{key}: {value}" for key, value in description.to_json().items()))
        writer.check(description)
        if writer.is_whole and not (retry_skipped and writer.skipped):
            say(f"{output} is already complete, {len(images.names)} rows; use --overwrite to rebuild")
            click.echo(output)
            return
        if writer.has_older_decoding:
            say(
                f"{output} was made by an earlier version, which ignored colour profiles: its rows stay as they are; "
                f"use --overwrite to recompute them"
            )
        files = {"model": model_file or folder_of(network), "weights": weights_file}
        writer.begin(description, files, dtype, computed)
        bar = stack.enter_context(tqdm(total=len(images.names), initial=writer.rows_done, unit=" images", disable=None))

        def progress(rows: int, newly_skipped: list) -> None:
            for image in (image for image in newly_skipped if not is_blank(image.name)):
                bar.write(f"skipped {escape_line(image.name)}: {escape_line(image.reason)}", file=sys.stderr)
            bar.set_postfix(skipped=writer.skipped_count, refresh=False)
            bar.update(rows)

        try:
            with sigterm_interrupts():
                blocks = due(writer, len(images.names), computed["batch"], retry_skipped)
                write(compute(blocks), writer, progress)
        except KeyboardInterrupt:
            bar.close()
            raise click.ClickException(
                f"stopped after {writer.rows_done} of {len(images.names)} images; to resume: {this_command()}"
            ) from None
    total, where = sum(not is_blank(name) for name in images.names), ""
    skipped = [image for image in writer.skipped if not is_blank(image.name)]
    if skipped:
        write_skipped(skipped_path(output), source, skipped, limits)
        where = f": see {skipped_path(output)}; use --retry-skipped to retry them"
        if any(OVER_LIMIT in image.reason for image in skipped):
            where += ", with larger --max-pixels or --max-bytes what is too large"
    else:
        skipped_path(output).unlink(missing_ok=True)
    say(f"{total - len(skipped)} of {total} images, {len(skipped)} skipped{where}")
    click.echo(output)
