"""The notebook's overview of a collection: clusters, isolated and typical images, and a spread."""

from collections.abc import Sequence
from typing import Any

import traitlets
from traitlets import Int, List, validate

from similar_images.collection.images import Collection
from similar_images.widgets.background import BackgroundWidget, check_rows
from similar_images.widgets.bundles import read_bundle
from similar_images.widgets.gallery import Gallery
from similar_images.widgets.selection import unique_rows
from similar_images.widgets.thumbnails import Thumbnails, as_reply

SIDE = 320  # pixels
ROW_IMAGES = 24  # of a group


class Overview(BackgroundWidget):
    """Shows the groups of a collection, a row of thumbnails each; a click searches by an image in the gallery.

    `selection`, the ticked rows, can be read, set and observed; a gallery shares it. The groups of more than 200,000
    images are computed after a click.
    """

    _esm, _css = read_bundle("overview")
    _settable = BackgroundWidget._settable | {"selection"}
    groups: Any = List().tag(sync=True)  # title, note, number of images, and the first rows with their names
    selection: Any = List().tag(sync=True)
    k = Int(ROW_IMAGES)  # isolated, typical, and spread images

    def __init__(self, collection: Collection, gallery: Gallery | None = None, k: int = ROW_IMAGES):
        super().__init__()
        self.collection, self.gallery, self.k = collection, gallery, k
        self._members: list[list[int]] = []  # the rows of each group
        self._thumbnails = Thumbnails(collection, SIDE)
        self._link = traitlets.link((gallery, "selection"), (self, "selection")) if gallery is not None else None
        self._is_closed = False
        text = f"The clusters of {len(collection):,} images take minutes to find."
        self._start_or_offer(self._find_groups, len(collection), text)

    def _free(self) -> None:
        if self._link is not None:
            self._link.unlink()
        self._thumbnails.close()

    @validate("selection")
    def _check_selection(self, proposal: dict[str, Any]) -> list[int]:
        return unique_rows(proposal["value"], len(self.collection))

    def _find_groups(self) -> None:
        collection, k = self.collection, min(self.k, len(self.collection))
        found: list[tuple[str, str, list[int]]] = []
        clusters = collection.clusters(self._show_step("Finding the clusters …"))
        for title, note, find in (
            ("A spread", f"{k} images that cover the collection", collection.spread),
            ("The most typical", "in the densest regions", collection.typical),
            ("The most isolated", "least similar to any other", collection.outliers),
        ):
            self._check_open()
            found.append((title, note, [hit.row for hit in find(k)]))
        for cluster in clusters:
            found.append((cluster.name, "", [int(row) for row in cluster.rows]))
        self._members = [rows for _, _, rows in found]
        self.groups = [
            {"title": title, "note": note, "count": len(rows), "images": self._named(rows[: self.k])}
            for title, note, rows in found
        ]
        alone = int((clusters.labels < 0).sum())
        text = f"{len(clusters):,} clusters of {len(collection):,} images"
        self._set_status("done", f"{text}; {alone:,} images are in none" if alone else text)

    def _named(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        return [{"row": row, "name": self.collection.names[row]} for row in rows]

    def _answer_row(self, row: int) -> None:
        check_rows([row], len(self.collection))
        if self.gallery is not None:
            self.gallery.search_row(row)

    def _answer_tick(self, group: int, on: bool = False) -> None:
        check_rows([group], len(self._members), "group")
        members = self._members[group]
        others = [row for row in self.selection if row not in set(members)]
        self.selection = others + members if on else others

    def _answer_pictures(self, rows: list[int]) -> None:
        check_rows(rows, len(self.collection), most=len(self.collection))
        self._run(lambda: self._send_pictures(rows))

    def _send_pictures(self, rows: list[int]) -> None:
        for made in self._thumbnails.get(rows):
            self._reply(*as_reply(made))
