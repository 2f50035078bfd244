"""Photographs with a location, keywords and ratings, as cameras and photo managers write them."""

import struct
from collections.abc import Sequence
from fractions import Fraction

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational
from sample_images import encoded

GPS = ExifTags.GPS
PARIS, RIO = (48.858222, 2.2945), (-22.951916, -43.210487)  # latitude and longitude in degrees
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/" MicrosoftPhoto:Rating="99" {attribute}>{element}</rdf:Description>
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag>{words}</rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def xmp(words: Sequence[str] = (), rating: object = None, as_element: bool = False) -> bytes:
    """Return an XMP packet with dc:subject and xmp:Rating."""
    attribute = "" if rating is None or as_element else f'xmp:Rating="{rating}"'
    element = f"<xmp:Rating>{rating}</xmp:Rating>" if as_element else ""
    items = "".join(f"<rdf:li>{word}</rdf:li>" for word in words)
    return XMP.format(attribute=attribute, element=element, words=items).encode()


def degrees(angle: float) -> tuple[IFDRational, ...]:
    """Return degrees, minutes and seconds of an angle without its sign."""
    whole = Fraction(str(abs(angle)))
    minutes = whole % 1 * 60
    seconds = minutes % 1 * 60
    return IFDRational(int(whole)), IFDRational(int(minutes)), IFDRational(seconds.numerator, seconds.denominator)


def exif(place: tuple[float, float] | None = None, rating: int | None = None, words: str | None = None) -> Image.Exif:
    """Return EXIF with a location, and the rating and keywords of Windows."""
    written = Image.Exif()
    if place:
        latitude, longitude = place
        written.get_ifd(ExifTags.IFD.GPSInfo).update(
            {
                GPS.GPSLatitudeRef: "S" if latitude < 0 else "N",
                GPS.GPSLatitude: degrees(latitude),
                GPS.GPSLongitudeRef: "W" if longitude < 0 else "E",
                GPS.GPSLongitude: degrees(longitude),
            }
        )
    if rating is not None:
        written[0x4746] = rating
    if words is not None:
        written[0x9C9E] = f"{words}\0".encode("utf-16-le")
    return written


def iptc(words: Sequence[bytes]) -> bytes:
    """Return the segment of a JPEG with the keywords of IPTC."""
    data = b"".join(b"\x1c\x02\x19" + struct.pack(">H", len(word)) + word for word in words)
    block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(data)) + data + b"\0" * (len(data) % 2)
    content = b"Photoshop 3.0\0" + block
    return b"\xff\xed" + struct.pack(">H", len(content) + 2) + content


def photograph(form: str = "JPEG", segment: bytes = b"", **options: object) -> bytes:
    """Return an image file; a JPEG may have one more segment."""
    content = encoded(Image.new("RGB", (32, 24), "red"), form, **options)
    return content[:2] + segment + content[2:] if segment else content
