"""The displayed state of a gallery, missing files, and closing."""

import gc
import os
import shutil
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from galleries import hits, query, refusal, tell
from sample_images import extract_and_index

from similar_images import Collection, Gallery
from similar_images.collection.session import SearchSession


def test_box_is_cut_from_the_displayed_image(shown, monkeypatch):
    cut = []
    monkeypatch.setattr(SearchSession, "query_part", lambda session, state, box: cut.append(state.name) or state)
    before, waiting = query(shown), threading.Event()
    real = SearchSession.search
    monkeypatch.setattr(SearchSession, "search", lambda *arguments: waiting.wait(20) and real(*arguments))
    other = next(row for row, name in enumerate(shown.collection.names) if name != before)
    shown.search_row(other)  # not displayed yet
    shown.search_part((0, 0, 0.5, 0.5))
    waiting.set()
    shown.wait()
    assert cut == [before]


def test_box_on_a_replaced_image_is_refused(shown):
    drawn = shown.shown["number"]
    tell(shown, do="row", row=hits(shown)[0][0])
    tell(shown, do="part", box=[0, 0, 0.5, 0.5], number=drawn)
    assert "the query has changed since the box was drawn: draw it again" in refusal(shown)


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_moved_images_keep_names_and_show_the_remedy(collection, tmp_path, kind):
    if kind == "archive":
        archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", collection.source.path))
        extract_and_index(archive, tmp_path / "packed_file_list.txt")
        collection = Collection.open(tmp_path / "packed_file_list.txt")
    shutil.move(collection.source.path, tmp_path / "moved")
    shown = Gallery(collection, seed=1)
    shown.wait()
    assert shown.status["kind"] == "done" and len(hits(shown)) == 8
    assert all(hit["picture"] is None and hit["absent"] for hit in shown.shown["hits"])
    assert f"The images are not in {collection.source.path}: " in shown.caveat
    assert shown.caveat.endswith("open the collection with images=FOLDER to see them.")


def test_steps_from_two_threads_keep_history_and_page_equal(collection, shown, monkeypatch):
    tell(shown, do="row", row=5)
    stepped, other_is_done, search = threading.Event(), threading.Event(), shown._search

    def slowly(*arguments: object, **options: object) -> None:
        if threading.current_thread() is back:
            stepped.set()
            other_is_done.wait(0.5)  # if the other step can be made meanwhile
        search(*arguments, **options)

    monkeypatch.setattr(shown, "_search", slowly)
    back = threading.Thread(target=shown.go, args=(-1,))
    back.start()
    stepped.wait(10)
    shown.go(1)
    other_is_done.set()
    back.join()
    shown.wait()
    assert (shown.session.history.at, query(shown)) == (1, collection.names[5])
    assert (shown.shown["back"], shown.shown["forward"]) == (True, False)


@pytest.mark.parametrize("kind", ["a pipe", "a text", "a large file"])
def test_unreadable_original_is_refused_at_once(shown, kind):
    path = shown.collection.image(3)
    path.unlink()
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a text":
        path.write_text("no image")
    else:
        with path.open("wb") as file:
            file.truncate(10**10)
    tell(shown, do="original", row=3)
    assert refusal(shown).startswith("Failed: ") and "BytesIO" not in refusal(shown)


def test_closed_galleries_and_threads_are_freed(collection):
    before, kept = set(threading.enumerate()), []
    for _ in range(5):
        gallery = Gallery(collection)
        gallery.wait()
        gallery.close()
        kept.append(weakref.ref(gallery))
        del gallery
    gc.collect()
    assert [one() for one in kept] == [None] * 5
    begun = set(threading.enumerate()) - before
    for thread in begun:
        thread.join(10)
    assert not any(thread.is_alive() for thread in begun)


def test_closed_gallery_ignores_a_running_search(shown, monkeypatch):
    waiting = threading.Event()
    real = SearchSession.search
    monkeypatch.setattr(SearchSession, "search", lambda *arguments: waiting.wait(20) and real(*arguments))
    shown.search_row(1)
    shown.close()
    waiting.set()
    shown.wait()
    assert shown.status["kind"] != "failure"


def test_status_names_the_assumed_network(tmp_path):
    (tmp_path / "own.txt").write_text("".join(f"{row}.jpg\n" for row in range(12)))
    np.save(tmp_path / "own.npy", np.random.default_rng(0).random((12, 4096), np.float32))
    shown = Gallery(Collection.open(tmp_path / "own.npy"), seed=1)
    shown.wait()
    assert "vectors of 4,096 numbers are assumed to be from VGG16" in shown.status["text"]
