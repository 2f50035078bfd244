// Chosen, dropped and pasted images, and dropped links.

import { consume } from "./dom.js";
import { send } from "./model.js";

/** @import { GalleryTraits } from "./messages.js" */
/** @import { SearchPage } from "./search.js" */

const PART_BYTES = 4e6; // of an upload in one message: Jupyter's server drops messages above 10 MiB

export class Uploads {
  /** An id of this page, part of the ids of its uploads. */
  #page = Math.random().toString(36).slice(2);
  #count = 0;

  /** @param {SearchPage<GalleryTraits>} page @param {(link: string) => void} searchLink */
  constructor(page, searchLink) {
    this.page = page;
    this.searchLink = searchLink;
    const { root } = page;
    root.addEventListener("dragover", event => {
      event.preventDefault();
      root.classList.add("dropping");
    });
    root.addEventListener("dragleave", event => {
      if (!root.contains(/** @type {Node | null} */ (event.relatedTarget))) root.classList.remove("dropping");
    });
    root.addEventListener("drop", event => this.#drop(event));
    root.addEventListener("paste", event => {
      const pasted = findImages(event.clipboardData);
      if (!pasted.length) return; // text is pasted as usual
      consume(event);
      this.upload(pasted);
    });
    // The focus makes a paste arrive here.
    root.addEventListener("click", ({ target }) => {
      const isControl = target instanceof Element && target.closest("button, input, label, [tabindex='0'], dialog");
      if (!isControl) root.focus({ preventScroll: true });
    });
  }

  /** Send images in parts; several are one query. A newer upload ends this one. @param {File[]} files */
  async upload(files) {
    const refusal = this.#findRefusal(files);
    if (refusal) return this.page.refuse(`Not searched: ${refusal}`);
    if (!files.length) return;
    this.page.accept();
    const number = ++this.#count;
    for (const [at, file] of files.entries()) {
      const about = { upload: `${this.#page}-${number}`, name: nameOf(file), size: file.size, at, of: files.length };
      for (let start = 0; start < file.size; start += PART_BYTES) {
        const part = await file
          .slice(start, start + PART_BYTES)
          .arrayBuffer()
          .catch(() => null);
        if (number !== this.#count) return;
        if (!part) return this.page.refuse(`Not searched: ${nameOf(file)} cannot be read`);
        send(this.page.model, { do: "upload", start, ...about }, [part]);
      }
    }
  }

  /** Return why files are not uploaded, or "". @param {File[]} files */
  #findRefusal(files) {
    const { model } = this.page;
    const [most, mostTogether] = [model.get("max_bytes"), model.get("max_total_bytes")];
    for (const file of files) {
      if (file.size > most) return `${nameOf(file)} is larger than ${most / 1e6} MB`;
      if (!file.size) return `${nameOf(file)} is empty (0 bytes)`;
    }
    const total = files.reduce((sum, file) => sum + file.size, 0);
    return total > mostTogether ? `the ${files.length} images are larger than ${mostTogether / 1e6} MB together` : "";
  }

  /** @param {DragEvent} event */
  #drop(event) {
    consume(event);
    this.page.root.classList.remove("dropping");
    const dropped = findImages(event.dataTransfer);
    const link = event.dataTransfer?.getData("text/uri-list");
    if (dropped.length) this.upload(dropped);
    else if (link) this.searchLink(link);
    else this.page.refuse("Not searched: expected the file of an image, or a link to one");
  }
}

/** @param {File} file */
function nameOf(file) {
  return file.name || "pasted image";
}

/** Return the dropped or pasted images; without any, the first file, which Python refuses. @param {DataTransfer | null} transfer */
function findImages(transfer) {
  const files = [...(transfer?.files ?? [])];
  const images = files.filter(file => file.type.startsWith("image/"));
  return images.length ? images : files.slice(0, 1);
}
