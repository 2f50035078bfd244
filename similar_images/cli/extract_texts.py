"""Texts to vectors, from the shell."""

import sys
from pathlib import Path

import click

from similar_images.cli.options import FILE, Command, Encoding, sigterm_interrupts, this_command
from similar_images.inputs.names import escape_controls
from similar_images.networks.text import DEFAULT, ENGINES, PRECISIONS
from similar_images.vectors.store import DTYPES

SHOWN_CHARS = 80  # of a skipped text


@click.command("extract-texts", cls=Command)
@click.argument("file", metavar="FILE", type=FILE)
@click.option("--column", help="The column of the texts.  [default: text, or the only one]")
@click.option("--encoding", type=Encoding(), default="utf-8", show_default=True, help="How the file is encoded.")
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
    help="A folder that sentence-transformers saved, or the name of one on the hub, to be downloaded.",
)
@click.option(
    "--engine",
    type=click.Choice(("auto", *ENGINES)),
    default="auto",
    show_default=True,
    help="What computes the network; auto: PyTorch on a GPU, else OpenVINO, the fastest as measured.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    help="What it is computed in; bfloat16 needs a processor that has it.  [default: float32]",
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

    FILE is a .txt with one text per line, or a .csv, .tsv or .jsonl with a column of texts, which are then listed, one
    per line, in FILE_list.txt. Rerun the same command to resume a run that was stopped. An empty text is skipped; its row
    is zeros.

    \b
    Examples:
      similar-images extract-texts notes.txt
      similar-images extract-texts tweets/texts_20k.csv --column text
      similar-images extract-texts reviews.jsonl --column review --network my_network
    """
    from tqdm import tqdm

    from similar_images.inputs.texts import check_list, read_texts, text_list_path
    from similar_images.networks import text as text_networks
    from similar_images.vectors.from_texts import extract
    from similar_images.vectors.store import vectors_path
    from similar_images.vectors.writer import Writer

    def say(message: object) -> None:
        click.echo(escape_controls(str(message)), err=True)

    texts, names = read_texts(file, column, encoding), text_list_path(file, encoding)
    check_list(names, texts, overwrite)
    output = output or vectors_path(names)
    writer = Writer(output, names, texts, overwrite=overwrite)
    precision = precision or writer.engine.get("precision", "float32")
    backend = writer.engine.get("name") if engine == "auto" else engine
    encoder = text_networks.load_text_network(network, backend or text_networks.fastest_engine(), precision)
    if verbose:
        say("\n".join(f"{key}: {value}" for key, value in encoder.description.to_json().items()))
    writer.check(encoder.description)
    if writer.is_whole:
        say(f"{output} is already complete, {len(texts)} rows; use --overwrite to rebuild")
        click.echo(output)
        return
    files = {"model": Path(network)} if Path(network).is_dir() else {}
    writer.begin(encoder.description, files, dtype, {"name": encoder.engine.name, "precision": precision})

    with tqdm(total=len(texts), initial=writer.rows_done, unit=" texts", disable=None) as bar:

        def progress(rows: int, newly_skipped: list) -> None:
            for text in newly_skipped:
                bar.write(f"skipped text {text.row + 1}, {text.name[:SHOWN_CHARS]!r}: {text.reason}", file=sys.stderr)
            bar.update(rows)

        try:
            with sigterm_interrupts():
                longer = extract(texts, encoder, writer, progress)
        except KeyboardInterrupt:
            bar.close()
            raise click.ClickException(
                f"stopped after {writer.rows_done} of {len(texts)} texts; to resume: {this_command()}"
            ) from None
    if longer:
        say(f"{longer} texts are longer than the network's input, {encoder.tokens} tokens: the rest is ignored")
    say(f"{len(texts) - len(writer.skipped)} of {len(texts)} texts, {len(writer.skipped)} skipped")
    click.echo(output)
