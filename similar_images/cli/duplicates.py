"""The command that finds the near-duplicates of a collection."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from similar_images.cli.options import FILE, SIMILARITIES, Command, collection_options, open_csv, report_assumption
from similar_images.inputs.names import escape_line

if TYPE_CHECKING:
    from similar_images.collection.images import Collection
    from similar_images.index.index import Index


@click.command("duplicates", cls=Command)
@click.argument("vectors_file", metavar="VECTORS", type=FILE)
@collection_options
@click.option(
    "--similarity",
    type=click.Choice(SIMILARITIES),
    default="cosine",
    show_default=True,
    help="The similarity compared with the threshold. The measured thresholds are of the cosine.",
)
@click.option("--exact", is_flag=True, help="Compare every image with every other, without the index.")
@click.option(
    "-t",
    "--threshold",
    type=click.FloatRange(0, 1),
    help="The lowest similarity of near-duplicates.  [default: calibrated on the collection]",
)
@click.option(
    "--calibrate",
    type=click.IntRange(min=1),
    metavar="N",
    help="Calibrate the threshold on altered copies of N images of the collection.  [default: 100]",
)
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path), help="Write the groups to this file, not to stdout."
)
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path), help="Write a page to choose which images to keep."
)
@click.option("--overwrite", is_flag=True, help="Overwrite existing files.")
def main(
    vectors_file: Path,
    similarity: str,
    exact: bool,
    threshold: float | None,
    calibrate: int | None,
    csv_file: Path | None,
    html_file: Path | None,
    overwrite: bool,
    **opening: Any,
) -> None:
    """Find groups of equal and nearly equal images: recompressed, resized, cropped, mirrored, recoloured.

    VECTORS is the collection: its list or its vectors. The groups are printed as CSV, one line per image: the group's
    number, row, name, similarity to the group's first image, bytes, width and height, the earlier image of the group
    with the same bytes, and the SHA-256. No image is changed, moved or deleted.

    The threshold is calibrated on altered copies of 100 images. If the images or the network are not available, the
    threshold measured for the network on other photographs is used.

    \b
    Examples:
      similar-images duplicates photos_file_list.txt --html duplicates.html > duplicates.csv
      similar-images duplicates photos_file_list.txt --threshold 0.95
      similar-images duplicates photos_file_list.txt --calibrate 100
    """
    from similar_images.cli.progress import show_progress
    from similar_images.collection.images import Collection
    from similar_images.evaluation import duplicates
    from similar_images.files import check_new
    from similar_images.index.similarity import COSINE

    if threshold is not None and calibrate is not None:
        raise ValueError("expected --threshold or --calibrate, got both")
    for file in filter(None, (csv_file, html_file)):
        check_new(file, overwrite)
    collection = Collection.open(vectors_file, **opening)
    report_assumption(collection.vectors)
    searched = None if exact else duplicates.whole_index(collection)
    if similarity != collection.similarity.name:
        collection = collection.with_similarity(similarity)
        searched = searched if similarity == "cosine" else None
    elif searched is not None:
        searched = searched._replace(similarity=COSINE)  # of the vectors compared here

    if threshold is None:
        threshold = _choose_threshold(collection, searched, calibrate)
    with show_progress(leave=True) as progress:
        members = duplicates.find_members(collection, threshold, searched, progress)
    summary = duplicates.summary(collection, members, threshold)
    if html_file:
        duplicates.write_html(html_file, collection, members, summary)
    with open_csv(csv_file) as table:
        duplicates.write_csv(table, members)
    click.echo(escape_line(summary), err=True)


def _choose_threshold(collection: "Collection", index: "Index | None", count: int | None) -> float:
    """Return a threshold and print its source."""
    from similar_images.cli.progress import show_progress
    from similar_images.evaluation.duplicate_threshold import choose_threshold

    with show_progress() as progress:
        chosen = choose_threshold(collection, index, count, progress)
    click.echo(escape_line(chosen.note), err=True)
    for alteration, recall in chosen.recalls.items():
        click.echo(f"  {alteration:9} {recall:4.0%}", err=True)
    return chosen.threshold
