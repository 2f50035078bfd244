"""The notebook's overview of a collection: its clusters, its most isolated and most typical images, and a spread of it."""

from collections.abc import Sequence

import traitlets
from traitlets import Int, List, validate

from similar_images.collection.images import Collection
from similar_images.widgets import messages
from similar_images.widgets.background import BackgroundWidget
from similar_images.widgets.chosen import different_rows
from similar_images.widgets.gallery import Gallery
from similar_images.widgets.search import CSS, page
from similar_images.widgets.thumbnails import Thumbnails, as_message

SIDE = 320  # pixels
SHOWN = 24  # images of a group that its row shows


class Overview(BackgroundWidget):
    """Shows the groups of a collection, a row of thumbnails each; a click searches by an image in the gallery.

    `selection`, the ticked rows, can be read, set and observed; it is that of the gallery, if there is one. The groups of
    more than 200,000 images are found once the page is asked to.
    """

    _esm, _css = page("overview.js"), CSS
    _settable = BackgroundWidget._settable | {"selection"}
    groups: List = List().tag(sync=True)  # title, note, how many, and the first rows with their names
    selection: List = List().tag(sync=True)
    k = Int(SHOWN)  # of the isolated, the typical, and the spread

    def __init__(self, collection: Collection, gallery: Gallery | None = None, k: int = SHOWN):
        super().__init__()
        self.collection, self.gallery, self.k = collection, gallery, k
        self._members: list[list[int]] = []  # the rows of each group
        self._thumbnails = Thumbnails(collection, SIDE)
        self._link = traitlets.link((gallery, "selection"), (self, "selection")) if gallery is not None else None
        self._is_closed = False
        self.on_msg(self._told)
        self._begin(self._find, len(collection), f"The clusters of {len(collection):,} images take minutes to find.")

    def close(self) -> None:
        """Close the widget, its threads, and its tie to the gallery."""
        if not self._is_closed:
            self._is_closed = True
            if self._link is not None:
                self._link.unlink()
            self.on_msg(self._told, remove=True)
            self._thumbnails.close()
        super().close()

    @validate("selection")
    def _rows_of_the_collection(self, proposal: dict) -> list[int]:
        return different_rows(proposal["value"], len(self.collection))

    def _find(self) -> None:
        collection, k = self.collection, min(self.k, len(self.collection))
        found: list[tuple[str, str, list[int]]] = []
        clusters = collection.clusters(self._doing("Finding the clusters …"))
        for title, note, find in (
            ("A spread", f"{k} images that cover the collection", collection.spread),
            ("The most typical", "those in the densest places", collection.typical),
            ("The most isolated", "those that are least like any other", collection.outliers),
        ):
            self._continue()
            found.append((title, note, [hit.row for hit in find(k)]))
        for cluster in clusters:
            found.append((cluster.name, "", [int(row) for row in cluster.rows]))
        self._members = [rows for _, _, rows in found]
        self.groups = [
            {"title": title, "note": note, "count": len(rows), "images": self._named(rows[: self.k])}
            for title, note, rows in found
        ]
        alone = int((clusters.labels < 0).sum())
        told = f"{len(clusters):,} clusters of {len(collection):,} images"
        self._say("done", f"{told}; {alone:,} images are in none" if alone else told)

    def _named(self, rows: Sequence[int]) -> list[dict]:
        return [{"row": row, "name": self.collection.names[row]} for row in rows]

    def _do(self, message: dict, buffers: list) -> None:
        n = len(self.collection)
        match message.get("do"):
            case "begin":
                self._begin_offered()
            case "row":
                row = messages.row(message, n)
                if self.gallery is not None:
                    self.gallery.search_row(row)
            case "tick":
                rows = self._members[messages.row(message, len(self._members), "group")]
                members = set(rows)
                others = [row for row in self.selection if row not in members]
                self.selection = others + rows if message.get("on") else others
            case "pictures":
                wanted = messages.rows(message, n, n)
                self._in_background(lambda: self._send_pictures(wanted))
            case _:
                super()._do(message, buffers)

    def _send_pictures(self, rows: list[int]) -> None:
        for made in self._thumbnails.get(rows):
            pictures, buffers = as_message(made)
            self.send({"show": "pictures"} | pictures, buffers)
