"""Why a hit is similar, for the gallery's dialog: the query and the hit with their heat maps."""

import io

from PIL import Image

from similar_images.collection import query as asking
from similar_images.collection.explanation import HeatMap
from similar_images.collection.images import Collection
from similar_images.collection.query import Asked
from similar_images.inputs import images

SIDE = 800  # pixels; the longer one of the pictures
PLACES = (("upper left", "top", "upper right"), ("left", "middle", "right"), ("lower left", "bottom", "lower right"))


def doing(collection: Collection) -> str:
    """Return what is done while a hit is compared."""
    name = asking.network_name(collection)
    return "Comparing with the query …" if collection.is_loaded else f"Loading {name} to compare with the query …"


def compared(collection: Collection, asked: Asked, row: int) -> tuple[dict, list[bytes]]:
    """Return what the page shows of a hit beside the query, and the JPEGs of both: the query's first, where it has one.

    Raises as Collection.explain does.
    """
    own = asking.image_of(collection, asked)
    explanation = collection.explain(asked.query if own is None else own, row)
    name, hit = collection.names[row], images.open_image(collection.image(row), side=SIDE)
    shown = [("Query", asked.name, own, explanation.query), ("Hit", name, hit, explanation.hit)]
    pictures, alts, says = [], [], []
    for role, title, image, heat in shown:
        if image is None or heat is None:
            continue
        image.thumbnail((SIDE, SIDE))
        place = _place(heat, image)
        pictures.append(_jpeg(heat.over(image)))
        alts.append(f"{role} {title}, with a heat map: most alike in the {place}")
        says.append(f"the {place} of the {role.lower()}")
    return {"row": row, "name": name, "says": f"most alike: {' and '.join(says)}", "alts": alts}, pictures


def _place(heat: HeatMap, image: Image.Image) -> str:
    """Return in words where the hottest place of an image is."""
    x, y = heat.peak(*image.size)
    return PLACES[min(2, int(3 * y / image.height))][min(2, int(3 * x / image.width))]


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
