"""The near-duplicates of a collection, from the shell."""

import sys
from pathlib import Path

import click

from similar_images.cli.options import FILE, Command, collection_options


@click.command("duplicates", cls=Command)
@click.argument("vectors_file", metavar="VECTORS", type=FILE)
@collection_options
@click.option("--exact", is_flag=True, help="Compare every image with every other, not through the index.")
@click.option(
    "-t",
    "--threshold",
    type=click.FloatRange(0, 1),
    help="The cosine similarity from which images are near-duplicates.  [default: as measured for the network]",
)
@click.option(
    "--calibrate",
    type=click.IntRange(min=1),
    metavar="N",
    help="Find the threshold on altered copies of N images of the collection, 100 say.",
)
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Write the groups here, not to stdout.")
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write a contact sheet here, to look at.")
@click.option("--overwrite", is_flag=True, help="Put new files in the place of those that are there.")
def main(
    vectors_file: Path,
    exact: bool,
    threshold: float | None,
    calibrate: int | None,
    csv_file: Path | None,
    html_file: Path | None,
    overwrite: bool,
    **opening: Path | str | None,
) -> None:
    """Find groups of images that are (nearly) the same: recompressed, resized, cropped, mirrored, recoloured.

    VECTORS is the collection: its list or its vectors. The groups are printed as CSV, a line an image: the group's
    number, row, name, similarity to the group's first image, bytes, width and height, and the image of the group
    that is the same file, byte for byte. No image is ever changed, moved or deleted.

    \b
    Examples:
      ./find_duplicates.py photos_file_list.txt --html duplicates.html > duplicates.csv
      ./find_duplicates.py photos_file_list.txt --threshold 0.95
      ./find_duplicates.py photos_file_list.txt --calibrate 100
    """
    from tqdm import tqdm

    from similar_images.collections.images import Collection
    from similar_images.evaluation import duplicates
    from similar_images.files import check_new, replacing

    if threshold is not None and calibrate is not None:
        raise ValueError("expected --threshold or --calibrate, got both")
    for file in filter(None, (csv_file, html_file)):
        check_new(file, overwrite)
    collection = Collection.open(vectors_file, **opening)
    if threshold is None and calibrate is None:
        threshold = duplicates.default_threshold(collection.network)
    searched = None if exact else duplicates.whole_index(collection)

    if threshold is None:
        with tqdm(total=calibrate, unit=" images altered", disable=None) as bar:
            calibration = duplicates.calibrate(collection, calibrate, searched, bar.update)
        threshold = calibration.threshold
        found = f"precision {calibration.precision:.3f} on {calibration.images} images without a copy here"
        click.echo(f"threshold {threshold:.4f}: {found}; of their altered copies it finds", err=True)
        for alteration, recall in calibration.recalls.items():
            click.echo(f"  {alteration:9} {recall:4.0%}", err=True)
    with tqdm(total=len(collection), unit=" images", disable=None) as bar:
        pairs = duplicates.find_pairs(collection.vectors.array, threshold, searched, progress=bar.update)
    groups = duplicates.group(collection.vectors.array, pairs, threshold)
    with tqdm(total=sum(len(group.rows) for group in groups), unit=" files read", disable=None) as bar:
        members = duplicates.describe(collection, groups, bar.update)

    summary = duplicates.summary(collection, members, threshold)
    if html_file:
        duplicates.write_html(html_file, collection, members, summary)
    if csv_file:
        with replacing(csv_file) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            duplicates.write_csv(file, members)
    else:
        sys.stdout.reconfigure(encoding="utf-8")
        duplicates.write_csv(sys.stdout, members)
    click.echo(summary, err=True)
