"""From a folder of photographs to a notebook that searches them, in one command."""

import hashlib
from pathlib import Path

import click

from similar_images.cli import build, extract, notebook
from similar_images.cli.options import Command, NetworkName, Place
from similar_images.networks.catalog import OF_A_FOLDER


@click.command("demo", cls=Command)
@click.argument("folder", type=Place(), required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the collection, outside FOLDER.  [default: one per FOLDER in the user's data folder]",
)
@click.option("--network", type=NetworkName(), default=OF_A_FOLDER, show_default=True)
@click.option("--app", is_flag=True, help="Show the notebook as a page without code.")
@click.option("--port", type=click.IntRange(1, 65535), default=8888, show_default=True, help="Port on this machine.")
@click.option("--no-browser", is_flag=True, help="Print the address instead of opening a browser.")
@click.pass_context
def main(
    context: click.Context,
    folder: Path | None,
    output: Path | None,
    network: str,
    app: bool,
    port: int,
    no_browser: bool,
) -> None:
    """Search the photographs of FOLDER in a notebook: extract their vectors, build the index, open the notebook.

    FOLDER may be an archive; it is only read. Without it, a sample is painted. Run the same command again to open the
    collection; only new photographs are computed.

    \b
    Examples:
      similar-images demo ~/Pictures
      similar-images demo photos.zip --network efficientnetlite2 --app
    """
    from similar_images.inputs.sources import location_title
    from similar_images.networks.extras import need
    from similar_images.samples import pictures
    from similar_images.vectors.store import vectors_path

    need("voila" if app else "notebook", "notebook", "this command")
    output = output or default_output(folder, network)
    if folder is not None and output.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"expected -o outside {folder}, which stays as it is, got {output}")
    output.mkdir(parents=True, exist_ok=True)
    click.echo(f"The collection is in {output}", err=True)
    if folder is None:
        folder = output / "sample"
        pictures.write(folder)
    names = output / f"{location_title(folder)}_file_list.txt"
    context.invoke(extract.main, place=folder, output=vectors_path(names), network=network)
    _index(context, names)
    context.invoke(notebook.main, collection=names, app=app, port=port, no_browser=no_browser)


def default_output(folder: Path | None, network: str) -> Path:
    """Return a folder in the user's data for the collection of a folder, by its name and a digest of its path."""
    from platformdirs import user_data_path

    from similar_images.inputs.sources import location_title
    from similar_images.networks.hub_files import recorded_name

    place, network = (
        user_data_path("similar-images") / "demo",
        recorded_name(network).replace("/", "-").replace(":", "-"),
    )
    if folder is None:
        return place / f"sample-{network}"
    digest = hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return place / f"{location_title(folder)}-{network}-{digest[:8]}"


def _index(context: click.Context, names: Path) -> None:
    """Build the index, or add what it lacks, with the output of the command that does it."""
    from similar_images.collection.create import index_change
    from similar_images.vectors.store import vectors_path

    change = index_change(vectors_path(names))
    if change == "build":
        context.invoke(build.main, vectors_file=names, overwrite=True)
    elif change == "add":
        context.invoke(build.main, vectors_file=names, adding=True)
