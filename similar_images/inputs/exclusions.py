"""Leave out files of a source: by patterns, by ignore files in its folders, and by the names that systems give.

Patterns have the syntax of a .gitignore. Of several that match, the last one decides: first the ignore files, from the
outermost folder inwards, then the patterns of the user. A pattern with ! includes a folder of a system again.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from similar_images.inputs.formats import is_hidden
from similar_images.inputs.names import compose, escape_line

IGNORE_FILE = ".similarimagesignore"
MAX_IGNORE_BYTES = 2**20  # of an ignore file
# fmt: off
SYSTEM_NAMES = {  # lower case, of folders and files that hold no photographs, or copies of them
    "@eadir", "@recently-snapshot", "@recycle", "@sharebin", "@tmp", "#recycle", "#snapshot", ".@__thumb",  # Synology, QNAP
    "$recycle.bin", "recycler", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini",  # Windows
    "__macosx", ".appledb", ".appledesktop", ".appledouble", ".documentrevisions-v100", ".ds_store", ".fseventsd",  # macOS
    ".spotlight-v100", ".temporaryitems", "network trash folder", "temporary items",
    ".snapshot", ".thumbnails", ".xvpics", "lost+found", "~snapshot",  # Linux, NetApp
}
# fmt: on
SYSTEM_PATTERN = re.compile(
    r"(?:^|/)(?:\._[^/]*|\.trash[^/]*|[^/]*\.lrdata|[^/]*\.photoslibrary/resources)/?$", re.IGNORECASE
)  # metadata of macOS, trash, previews of Lightroom and of Photos

Patterns = list[GitIgnoreSpecPattern]
Kind = tuple[str, str]  # of left-out files: its name in a report, and the remedy or reason

EXCLUDED = ("excluded files or folders", f"--exclude or {IGNORE_FILE} names them")
SYSTEM = ("previews, trash and other files of systems", "--exclude '!NAME/' includes a folder")
HIDDEN = ("hidden files or folders", "rename them without the leading dot")


class Exclusion(NamedTuple):
    kind: Kind
    name: str  # the file, or the folder (with a final /) that holds it


class Exclusions:
    """The files to leave out of one source. Names are relative to it; a folder's has a final /."""

    def __init__(self, patterns: Iterable[str] = ()):
        """Raises ValueError for an invalid pattern."""
        self._patterns = _compile(patterns, "--exclude")
        self._ignore_files: dict[str, Patterns] = {}  # by folder; "" is the source itself
        self._folders: dict[str, Exclusion | None] = {"": None}

    def add_ignore_file(self, name: str, content: bytes) -> None:
        """Add an ignore file, before the files of its folder are looked up. Raises ValueError if it is invalid."""
        if len(content) > MAX_IGNORE_BYTES:
            raise ValueError(f"{escape_line(name)}: expected at most {MAX_IGNORE_BYTES} bytes of patterns")
        try:
            lines = content.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{escape_line(name)}: expected patterns in UTF-8, got {error}") from error
        self._ignore_files[_folder(name)] = _compile(lines, escape_line(name))

    def find(self, name: str) -> Exclusion | None:
        """Return why a file or folder is left out; None if it is not."""
        folder = _folder(name)
        if folder not in self._folders:
            self._folders[folder] = self._find_folder(folder)
        if outer := self._folders[folder]:
            return outer
        kind = self._kind(name)
        return Exclusion(kind, name) if kind else None

    def _find_folder(self, folder: str) -> Exclusion | None:
        """Return the exclusion of the outermost excluded folder on the way to a folder."""
        for end in (match.end() for match in re.finditer("/", folder)):
            if kind := self._kind(folder[:end]):
                return Exclusion(kind, folder[:end])
        return None

    def _kind(self, name: str) -> Kind | None:
        is_excluded = self._verdict(name)
        if is_excluded:
            return EXCLUDED
        if is_excluded is None and is_of_system(name):
            return SYSTEM
        return HIDDEN if name.endswith("/") and is_hidden(_last_part(name)) else None

    def _verdict(self, name: str) -> bool | None:
        """Return whether the last matching pattern excludes a name; None if no pattern matches."""
        verdict = _last_verdict(self._patterns, compose(name))
        folder = name if self._ignore_files else ""
        while folder and verdict is None:
            folder = _folder(folder)
            verdict = _last_verdict(self._ignore_files.get(folder, []), compose(name[len(folder) :]))
        return verdict


def is_of_system(name: str) -> bool:
    """Return whether a file or folder, by its path, belongs to an operating system, a NAS or a catalogue."""
    return _last_part(name).lower() in SYSTEM_NAMES or bool(SYSTEM_PATTERN.search(name))


def is_ignore_file(name: str) -> bool:
    return _last_part(name) == IGNORE_FILE


def _compile(lines: Iterable[str], place: str) -> Patterns:
    patterns = []
    for line in lines:
        try:
            patterns.append(GitIgnoreSpecPattern(compose(line)))
        except (ValueError, re.error) as error:
            raise ValueError(
                f"{place}: expected a pattern as in a .gitignore, got {escape_line(line)!r:.200}"
            ) from error
    return patterns


def _last_verdict(patterns: Patterns, name: str) -> bool | None:
    """Return whether the last pattern that matches a file or folder itself excludes it; None if no pattern matches.

    pathspec also matches the files in a matching folder; here, as in git, the folder is decided first.
    """
    return next((pattern.include for pattern in reversed(patterns) if _matches_itself(pattern, name)), None)


def _matches_itself(pattern: GitIgnoreSpecPattern, name: str) -> bool:
    """Return whether a pattern matches a file or folder, and not only a folder that holds it.

    In pathspec's regular expressions, a group marks the end of a matching folder; the one of x/** ends after x/.
    """
    end, holds_all = len(name), str(pattern.pattern).rstrip().endswith("/**")
    for found in pattern.regex.finditer(name) if pattern.regex else ():
        ends = [found.end(group) for group in found.groupdict()]
        if all(each in (-1, end) for each in ends) and not (holds_all and found.end() == end):
            return True
    return False


def _folder(name: str) -> str:
    """Return the folder of a file or folder, with a final /."""
    return name[: name.rfind("/", 0, -1) + 1]


def _last_part(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]
