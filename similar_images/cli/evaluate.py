"""The command that evaluates a search."""

import json
from functools import partial
from pathlib import Path

import click

from similar_images.cli.options import FILE, SIMILARITIES, Command, collection_options, report_assumption


@click.command("evaluate", cls=Command)
@click.argument("collections", metavar="COLLECTION...", nargs=-1, type=FILE)
@partial(collection_options, several=True)
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="Number of hits.")
@click.option(
    "--queries",
    type=click.IntRange(min=2),
    default=1000,
    show_default=True,
    help="Number of random images as queries; all images if there are fewer.",
)
@click.option(
    "--similarity",
    "similarities",
    multiple=True,
    type=click.Choice(SIMILARITIES),
    help="Also evaluate an exact search by this similarity; can be repeated.",
)
@click.option(
    "--labels",
    metavar="folders|none|FILE.csv",
    help="The labels that make two images match: their folders, or a CSV with the columns image and labels, "
    "separated by ;.  [default: folders, if two have at least two images]",
)
@click.option(
    "--alterations",
    type=click.IntRange(min=0),
    metavar="N",
    help="Search for altered copies of N images.  [default: 50 without labels, else 0]",
)
@click.option(
    "--sts",
    "sts_file",
    type=FILE,
    help="Only evaluate the network of each COLLECTION of texts, or the default network, with this STS benchmark.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one row per search configuration.")
@click.option(
    "--report", "report_file", type=click.Path(path_type=Path), help="Write an HTML page with plots and thumbnails."
)
@click.option("--overwrite", is_flag=True, help="Overwrite an existing report.")
def main(
    collections: tuple[Path, ...],
    index: tuple[Path, ...],
    k: int,
    queries: int,
    similarities: tuple[str, ...],
    labels: str | None,
    alterations: int | None,
    sts_file: Path | None,
    as_json: bool,
    as_csv: bool,
    report_file: Path | None,
    overwrite: bool,
    **opening: Path | str | None,
) -> None:
    """Measure how good the search in each COLLECTION is, its list or its vectors.

    Each index is compared with exact search: recall, milliseconds, bytes. Labels give precision, mAP, nDCG and kNN
    accuracy; an image in no subfolder has no label. Without labels, altered copies of images are the queries.
    --sts compares the similarities of texts with human ratings.

    \b
    Examples:
      ./evaluate_search.py photos_file_list.txt --report report.html
      ./evaluate_search.py photos_vgg16.npy photos_mobilenetv2.npy --labels labels.csv -k 5
      ./evaluate_search.py photos_file_list.txt --index reduced.faiss.index --index classic.faiss.index --csv
      ./evaluate_search.py photos_file_list.txt --similarity cosine --similarity centred
      ./evaluate_search.py --sts sts-dev.tsv
    """
    from tqdm import tqdm

    from similar_images.evaluation import report
    from similar_images.evaluation.evaluation import evaluate, open_configs
    from similar_images.evaluation.labels import choose_labels
    from similar_images.files import check_new
    from similar_images.inputs.names import printable
    from similar_images.networks.catalog import reads_text

    if sts_file:
        _print_agreement(sts_file, collections, as_json)
        return
    if not collections:
        raise ValueError("expected a COLLECTION (its list or its vectors) or --sts with a file, got neither")
    if index and len(collections) > 1:
        raise ValueError(
            "expected one COLLECTION with --index, because an index belongs to one collection, got several"
        )
    if as_json and as_csv:
        raise ValueError("expected --json or --csv, got both")
    if report_file:
        check_new(report_file, overwrite)
        report.load_plots()

    def track(items, what, total):
        return tqdm(items, what, total, leave=False, disable=None)

    def note(message):
        click.echo(printable(message), err=True)

    evaluations = []
    for path in collections:
        configs = open_configs(path, index, similarities, **opening)
        report_assumption(configs[0].collection.vectors)
        of_texts = reads_text(configs[0].collection.network)  # they have no folders
        chosen = choose_labels(labels or ("none" if of_texts else None), configs[0].collection.names)
        altered = 0 if of_texts and alterations is None else alterations
        evaluations += evaluate(configs, k, queries, chosen, altered, track, note)
    if as_json:
        click.echo(json.dumps([report.summary(one) for one in evaluations], indent=1))
    else:
        click.echo(report.as_csv(evaluations).rstrip() if as_csv else report.as_table(evaluations))
    if report_file:
        report.write(report_file, evaluations)
        click.echo(f"report {report_file}", err=True)


def _print_agreement(file: Path, collections: tuple[Path, ...], as_json: bool) -> None:
    from similar_images.collections.texts import TextCollection
    from similar_images.evaluation import sts
    from similar_images.networks import text as text_networks

    pairs = sts.read_pairs(file)
    names = [TextCollection.open(path).network_name for path in collections] or [text_networks.DEFAULT]
    found = {name: sts.agreement(text_networks.load(name), pairs) for name in dict.fromkeys(names)}
    if as_json:
        click.echo(json.dumps({name: one._asdict() for name, one in found.items()}, indent=1))
        return
    for name, one in found.items():
        click.echo(f"{name}: Spearman {one.spearman:.4f}, Pearson {one.pearson:.4f} on {one.pairs:,} pairs")
