"""Images in a folder on disk and its subfolders."""

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from similar_images.inputs.exclusions import Exclusions, Kind, is_ignore_file
from similar_images.inputs.formats import is_image
from similar_images.inputs.images import LIMITS, OUTSIDE_FOLDER, Limits, UnreadableImage
from similar_images.inputs.listing import INSIDE_LINKS, OUTSIDE_LINKS, SPECIAL, UNREADABLE, Listing, classify
from similar_images.inputs.names import compose
from similar_images.inputs.sources.source import FileStatus, Source, file_status


class Folder(Source):
    """Images in a folder. Nothing outside is read unless allowed."""

    in_memory = False
    path: Path

    def __init__(self, path: Path, allow_outside: bool = False):
        """With `allow_outside`, names may be absolute or lead out of the folder, by `..` or a symbolic link."""
        self.path, self.allow_outside = path, allow_outside

    def find(self, exclude: Sequence[str] = ()) -> Listing:
        left_out: dict[Kind, list[str]] = {}
        exclusions = Exclusions(exclude)
        return classify(self._files(left_out, exclusions), left_out, exclusions)

    def exists(self, name: str = "") -> bool:
        return self._check(name, Path.exists)

    def is_file(self, name: str) -> bool:
        return self._check(name, Path.is_file)

    def join(self, name: str) -> Path | None:
        return None if not self.allow_outside and leads_outside(name, self.path) else self.path / name

    def locate(self, name: str) -> Path:
        file = self.path / self.match_name(name)
        if not self.allow_outside and not is_inside(file, self.path):
            raise UnreadableImage(OUTSIDE_FOLDER)
        return file

    def match_name(self, name: str) -> str:
        if name.isascii() or os.path.lexists(self.path / name):
            return name
        found = ""
        for part in name.split("/"):
            forms = (part, compose(part), unicodedata.normalize("NFD", part))
            on_disk = next((form for form in forms if os.path.lexists(self.path / (found + form))), part)
            found += f"{on_disk}/"
        return found[:-1]

    def image(self, name: str, limits: Limits = LIMITS) -> Path:
        return self.locate(name)

    def status(self, name: str) -> FileStatus:
        return file_status(self.locate(name))

    def listed_status(self, name: str) -> FileStatus:
        return file_status(f"{self.path}/{name}")  # `find` lists no link that leads outside

    def latest_unchanged(self, time: int) -> int:
        return time

    def open(self, name: str) -> IO[bytes]:
        path = self.locate(name)
        if path.exists() and not path.is_file():
            raise OSError(f"{path} is not a regular file")
        return path.open("rb")

    def _files(self, left_out: dict[Kind, list[str]], exclusions: Exclusions) -> Iterator[str]:
        """Yield the names of all files; add excluded folders, unfollowed links and unreadable folders to `left_out`."""
        followed = [Path(os.path.realpath(self.path))]
        folders: list[tuple[str, str | Path]] = [("", self.path)]
        while folders:
            below, folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    listed = list(entries)
            except PermissionError:
                left_out.setdefault(UNREADABLE, []).append(below or ".")
                continue
            except FileNotFoundError:  # removed meanwhile
                continue
            self.read_ignore_files(exclusions, [below + entry.name for entry in listed if is_ignore_file(entry.name)])
            for entry in listed:
                name, is_folder = below + entry.name, _is_folder(entry)
                excluded = exclusions.find(f"{name}/") if is_folder else None
                if excluded:
                    left_out.setdefault(excluded.kind, []).append(excluded.name)
                elif entry.is_symlink() and (kind := self._link_kind(name, is_folder, followed)):
                    left_out.setdefault(kind, []).append(name)
                elif is_folder:
                    folders.append((f"{name}/", entry.path))
                else:
                    yield name

    def _link_kind(self, name: str, is_folder: bool, followed: list[Path]) -> Kind | None:
        """Return the kind of a left-out symbolic link; None if it is followed, and add its folder to `followed`."""
        if not is_folder and not is_image(name):
            return None
        target = Path(os.path.realpath(self.path / name))
        if not self.allow_outside and not target.is_relative_to(followed[0]):
            return OUTSIDE_LINKS
        if not is_folder:
            return None if target.exists() else SPECIAL
        if any(target.is_relative_to(folder) or folder.is_relative_to(target) for folder in followed):
            return INSIDE_LINKS
        followed.append(target)
        return None

    def _check(self, name: str, check: Callable[[Path], bool]) -> bool:
        try:
            return check(self.locate(name))
        except UnreadableImage:
            return False


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def leads_outside(name: str, folder: Path) -> bool:
    """Return whether a name, joined to a folder, leads out of it, by `..` or as an absolute path. Nothing is read."""
    if ".." not in name and name[:1] not in ("/", "\\") and ":" not in name:  # fast for most names
        return False
    below = os.path.normpath(Path.cwd() / folder)
    return not Path(os.path.normpath(Path(below) / name)).is_relative_to(below)


def is_inside(file: Path, folder: Path) -> bool:
    """Return whether a file, whether or not it exists, is below a folder after following symbolic links."""
    if "\0" in str(file):  # no file can have this name
        return True
    return Path(os.path.realpath(file)).is_relative_to(os.path.realpath(folder))
