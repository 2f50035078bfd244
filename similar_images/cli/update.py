"""A collection of a folder, from the shell: made, and brought up to date, by one command."""

import shlex
from pathlib import Path

import click

from similar_images.cli.options import FILE, NETWORK, PLACE, Command, allow_outside_option, exclude_option
from similar_images.networks.catalog import DEFAULT_NETWORK

COMPACT_SHARE = 1 / 3  # of the rows are retired: a new collection is smaller and faster


@click.command("update", cls=Command)
@click.argument("folder", type=PLACE)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The vectors, a .npy file; the other files are beside it.  [default: FOLDER_file_list.txt.saved_predictions.npy "
    "in the current folder]",
)
@click.option(
    "--network",
    type=NETWORK,
    help=f"Embedding network of a new collection, as for extract.  [default: {DEFAULT_NETWORK}]",
)
@click.option("-m", "--model", "model_file", type=FILE, help="The file of the network.  [default: as recorded]")
@click.option("--weights", "weights_file", type=FILE, help="The weights of the network.  [default: as recorded]")
@allow_outside_option
@exclude_option
@click.option("--dry-run", is_flag=True, help="Only report the changes.")
def main(
    folder: Path,
    output: Path | None,
    network: str | None,
    model_file: Path | None,
    weights_file: Path | None,
    allow_outside: bool | None,
    exclude: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Make the collection of FOLDER, or bring it up to date: list, vectors and index.

    New and changed images are computed. Missing images are no longer found, and are found again when they return. Renamed
    and moved images keep their vectors. FOLDER may be an archive or an address such as s3://bucket/photos; it is only
    read. The files of the collection are in the current folder, named after FOLDER; the other commands find them there.
    Rerun the same command to resume an interrupted run.

    \b
    Examples:
      similar-images update ~/Pictures
      similar-images update ~/Pictures --exclude drafts/ --dry-run
    """
    from similar_images.cli.progress import resumable
    from similar_images.collection.create import choose_network, update_files
    from similar_images.vectors.items import list_images
    from similar_images.vectors.store import vectors_path
    from similar_images.vectors.update import preview_update

    items = list_images(None, folder, output, bool(allow_outside), exclude=exclude or None)
    path = output or vectors_path(items.list_file)
    if dry_run:
        click.echo(f"{preview_update(items, path)} (dry run)")
        return
    with resumable("images") as progress:
        update = update_files(items, path, choose_network(path, network, model_file, weights_file), progress)
    if update.retired > COMPACT_SHARE * update.rows:
        remedy = f"similar-images update {shlex.quote(str(folder))} -o NEW.npy makes a smaller collection"
        click.echo(f"{update.retired:,} of {update.rows:,} rows are of earlier files: {remedy}", err=True)
    click.echo(update)
