"""Open a notebook on a collection, in the browser."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import click

import similar_images
from similar_images.cli.options import FILE, Command, sigterm_interrupts

IMAGES, TEXTS = "Similar image.ipynb", "Text_similarity.ipynb"
OPEN = "open"  # the id of the cell that opens the collection
SAMPLE_ONLY = "own-"  # ids of cells that explain how to leave the sample start with this
STOP_SECONDS = 10  # for the server to end its kernels
VOILA = (
    "--template=similar-images",
    "--Voila.ip=127.0.0.1",
    "--Voila.auto_token=True",
    "--VoilaConfiguration.extension_denylist=@jupyter-notebook/lab-extension",
)


@click.command(name="notebook", cls=Command)
@click.argument("collection", type=FILE)
@click.option("--app", is_flag=True, help="Show the notebook as a page without code.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The working copy of the notebook.  [default: NAME.ipynb next to NAME_file_list.txt]",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8888, show_default=True, help="Port on this machine.")
@click.option("--no-browser", is_flag=True, help="Print the address instead of opening a browser.")
def main(collection: Path, app: bool, output: Path | None, port: int, no_browser: bool) -> None:
    """Open a notebook on COLLECTION: its list, its vectors or its table of texts.

    The notebook is a working copy whose first cell opens the collection. An existing copy is opened unchanged. The
    server listens on 127.0.0.1 only; stop it with Ctrl-C.

    \b
    Examples:
      similar-images notebook photos_file_list.txt
      similar-images notebook reviews.csv --app
    """
    from similar_images.networks.extras import need

    module = "voila" if app else "notebook"
    need(module, "notebook", "this command")
    copy = output or default_copy(collection)
    if copy.exists():
        click.echo(f"{copy} exists and is opened unchanged; remove it to start with a new copy", err=True)
    else:
        write_copy(collection, copy)
    folder, templates = _sources()
    page = f"--JupyterNotebookApp.default_url=/notebooks/{quote(copy.name)}"  # which the printed address leads to
    options = [*VOILA] if app else ["-y", "--ip=127.0.0.1", page]
    if no_browser:
        options.append("--no-browser")
    if not app and hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")  # Jupyter requires it for root, in a container for example
    environment = {**os.environ, "JUPYTER_PATH": str(templates)}
    if folder != templates:  # a clone: the kernel imports the package from there
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    _serve([sys.executable, "-m", module, copy.name, f"--port={port}", *options], copy.resolve().parent, environment)


def default_copy(collection: Path) -> Path:
    """Return the working copy next to a collection: photos.ipynb for photos_file_list.txt."""
    from similar_images.vectors.store import SUFFIX

    stem = collection.name.removesuffix(SUFFIX).removesuffix(".npy")
    stem = Path(stem).stem.removesuffix("_list").removesuffix("_file")
    return collection.with_name(f"{stem}.ipynb")


def write_copy(collection: Path, copy: Path) -> None:
    """Write the notebook for the collection's kind, with a first cell that opens it."""
    from similar_images.collection.opening import is_of_texts
    from similar_images.files import write_json
    from similar_images.inputs.texts import TABLES
    from similar_images.vectors.store import vectors_path

    vectors = collection if collection.suffix == ".npy" else vectors_path(collection)
    if collection.suffix not in TABLES and not vectors.exists():
        raise FileNotFoundError(f"expected vectors in {vectors}, found none: run `similar-images extract` first")
    texts = is_of_texts(collection)
    notebook = json.loads((_sources()[0] / (TEXTS if texts else IMAGES)).read_text(encoding="utf-8"))
    notebook["cells"] = [cell for cell in notebook["cells"] if not cell["id"].startswith(SAMPLE_ONLY)]
    (cell,) = (cell for cell in notebook["cells"] if cell["id"] == OPEN)
    path = os.path.relpath(collection.resolve(), copy.resolve().parent)
    line = f"collection = {'TextCollection' if texts else 'Collection'}.open({json.dumps(path, ensure_ascii=False)})"
    source = re.sub(r"^collection = .*$", lambda _: line, "".join(cell["source"]), flags=re.MULTILINE)
    cell["source"] = source.splitlines(keepends=True)
    write_json(copy, notebook)


def _sources() -> tuple[Path, Path]:
    """Return the folder of the notebooks and Jupyter's path to Voila's template: in the package, or in a clone."""
    package = Path(similar_images.__file__).parent
    if (package / "notebooks").is_dir():
        return package / "notebooks", package / "notebooks"
    return package.parent, package.parent / "app"


def _serve(command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
    """Run a server until it ends or this process is interrupted or terminated, which ends the server too."""
    with sigterm_interrupts():
        server = subprocess.Popen(command, cwd=folder, env=environment)
        try:
            status = server.wait()
        except KeyboardInterrupt:
            server.terminate()
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            click.echo("Notebook server stopped", err=True)
            return
    if status:
        raise click.ClickException(f"the notebook server ended with exit code {status}; see its messages above")
