"""Texts to vectors, from the shell."""

from pathlib import Path

import click

from similar_images.cli.options import ENCODING, FILE, Command
from similar_images.events import Skipped
from similar_images.networks.text import DEFAULT, ENGINES, PRECISIONS
from similar_images.vectors.manifest import DTYPES

MAX_SHOWN_CHARS = 80  # of a skipped text


@click.command("extract-texts", cls=Command)
@click.argument("file", metavar="FILE", type=FILE)
@click.option("--column", help="The column of the texts.  [default: text, or the only one]")
@click.option("--encoding", type=ENCODING, default="utf-8", show_default=True, help="How the file is encoded.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The vectors, a .npy file.  [default: LIST.saved_predictions.npy]",
)
@click.option(
    "--network",
    default=DEFAULT,
    show_default=True,
    help="A folder of sentence-transformers, or a name on the hub, to be downloaded.",
)
@click.option(
    "--engine",
    type=click.Choice(("auto", *ENGINES)),
    default="auto",
    show_default=True,
    help="The backend of the network; auto: PyTorch on a GPU, else OpenVINO, which measured fastest.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    help="The number format for computing; bfloat16 needs hardware support.  [default: float32]",
)
@click.option(
    "--dtype", type=click.Choice(DTYPES), help="The number format of the vectors on disk.  [default: float32]"
)
@click.option("--overwrite", is_flag=True, help="Rebuild all vectors and replace the existing ones.")
@click.option("-v", "--verbose", is_flag=True, help="Print details of the network.")
def main(
    file: Path,
    column: str | None,
    encoding: str,
    output: Path | None,
    network: str,
    engine: str,
    precision: str | None,
    dtype: str | None,
    overwrite: bool,
    verbose: bool,
) -> None:
    """Turn the texts of FILE into vectors, one row per text.

    FILE is a .txt with one text per line, or a .csv, .tsv or .jsonl with a column of texts. The texts of a table
    are listed, one per line, in FILE_list.txt. Rerun the same command to resume an interrupted run. Empty texts are skipped; their rows are
    zeros.

    \b
    Examples:
      similar-images extract-texts notes.txt
      similar-images extract-texts tweets/texts_20k.csv --column text
      similar-images extract-texts reviews.jsonl --column review --network my_network
    """
    from similar_images.cli.progress import resumable
    from similar_images.inputs.texts import check_list, read_texts, text_list_path
    from similar_images.vectors.extract import Options, extract
    from similar_images.vectors.items import Items
    from similar_images.vectors.store import vectors_path
    from similar_images.vectors.texts import TextExecutor

    texts = Items(text_list_path(file, encoding), read_texts(file, column, encoding))
    check_list(texts.list_file, texts.names, overwrite)
    output = output or vectors_path(texts.list_file)
    executor = TextExecutor(network, None if engine == "auto" else engine, precision)
    with resumable("texts", _describe_skipped) as progress:
        extract(texts, output, executor, Options(dtype, overwrite, verbose=verbose), progress)
    click.echo(output)


def _describe_skipped(text: Skipped) -> str:
    return f"skipped text {text.row + 1}, {text.name[:MAX_SHOWN_CHARS]!r}: {text.reason}"
