"""From a folder of photographs to a notebook that searches them, in one command."""

import hashlib
from pathlib import Path

import click

from similar_images.cli import notebook
from similar_images.cli.options import NETWORK, PLACE, Command, exclude_option
from similar_images.networks.catalog import DEFAULT_NETWORK


@click.command("demo", cls=Command)
@click.argument("folder", type=PLACE, required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the collection, outside FOLDER.  [default: one per FOLDER in the user's data folder]",
)
@click.option("--network", type=NETWORK, default=DEFAULT_NETWORK, show_default=True)
@exclude_option
@click.option("--app", is_flag=True, help="Show the notebook as a page without code.")
@click.option("--port", type=click.IntRange(1, 65535), default=8888, show_default=True, help="Port on this machine.")
@click.option("--no-browser", is_flag=True, help="Print the address instead of opening a browser.")
@click.pass_context
def main(
    context: click.Context,
    folder: Path | None,
    output: Path | None,
    network: str,
    exclude: tuple[str, ...],
    app: bool,
    port: int,
    no_browser: bool,
) -> None:
    """Search the photographs of FOLDER in a notebook: extract their vectors, build the index, open the notebook.

    FOLDER may be an archive; it is only read. Without FOLDER, a sample is painted. Rerun the same command to open the
    collection again; only new photographs are computed.

    \b
    Examples:
      similar-images demo ~/Pictures
      similar-images demo photos.zip --network efficientnetlite2 --app
    """
    from similar_images.cli.progress import resumable
    from similar_images.collection.create import create_files
    from similar_images.networks.extras import need
    from similar_images.samples import pictures

    need("voila" if app else "notebook", "notebook", "this command")
    output = output or default_output(folder, network)
    if folder is not None and output.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"expected -o outside {folder}, to keep it unchanged, got {output}")
    output.mkdir(parents=True, exist_ok=True)
    click.echo(f"The collection is in {output}", err=True)
    if folder is None:
        folder = output / "sample"
        pictures.write(folder)
    with resumable("images") as progress:
        names = create_files(folder, output, network, progress, exclude=exclude or None)
    context.invoke(notebook.main, collection=names, app=app, port=port, no_browser=no_browser)


def default_output(folder: Path | None, network: str) -> Path:
    """Return the folder of a collection in the user's data: the folder's name, the network, and a digest of the path."""
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
