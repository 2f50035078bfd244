// Types of the messages between a page and Python, and of the traits that both share.
// The requests are the `_answer_...` methods of the Python widgets, the replies the classes of
// similar_images/widgets/replies.py; a test compares them.

/** @typedef {[left: number, top: number, right: number, bottom: number]} Box shares of the width and height */
/** @typedef {string | number | null | (string | number | null)[]} Condition */

/**
 * Requests to Python.
 * @typedef {
 *   | { do: "random" }
 *   | { do: "row", row: number }
 *   | { do: "address", address: string }
 *   | { do: "text", text: string, provisional: boolean }
 *   | { do: "part", box: Box, number: number }
 *   | { do: "whole" }
 *   | { do: "upload", name: string, start: number, size: number, upload: string, at: number, of: number }
 *   | { do: "go", steps: number }
 *   | { do: "mark", row: number, sign: number }
 *   | { do: "unmark", name: string, at: number }
 *   | { do: "more", number: number, start: number }
 *   | { do: "filters" }
 *   | { do: "where", where: Record<string, Condition> }
 *   | { do: "export", form: string }
 *   | { do: "names", text: string }
 *   | { do: "original", row: number }
 *   | { do: "why", row: number }
 *   | { do: "begin" }
 *   | { do: "pictures", rows: number[] }
 *   | { do: "search", row: number }
 *   | { do: "describe", row: number }
 *   | { do: "tick", group: number, on: boolean }
 *   | { do: "save", form: string }
 *   | { do: "vote", vote: string, number: number }
 *   | { do: "undo" }
 *   | { do: "result" }
 * } Request
 */

// Replies of Python. Pictures and files are buffers of the message.
/** @typedef {{ show: "pictures", pictures: number[], absent: [row: number, reason: string][], number?: number }} Pictures */
/** @typedef {{ show: "more", number: number, start: number, hits: Hit[], is_all: boolean, pictures?: number[], absent?: [row: number, reason: string][] }} MoreHits */
/** @typedef {{ show: "names", text: string, names: string[] }} Names */
/** @typedef {{ show: "original", row: number, name?: string, size?: string, text?: string }} Original */
/** @typedef {{ show: "why", number: number, row: number, name: string, says: string, alts: string[] }} Explanation */
/** @typedef {{ show: "file", name: string, type: string }} ExportedFile */
/** @typedef {{ show: "described", row: number, name: string, value: string, absent: string }} Description */

// Traits.
/** @typedef {{ kind: "busy" | "done" | "failure" | "offer", text: string, share?: number }} Status */
/** @typedef {{ picture?: DataView | null, absent?: string }} Picture a JPEG, or the reason of a missing one */
/** @typedef {{ row: number | null, name: string } & Picture} Mark */
/** @typedef {{ name: string, row: number | null, box?: Box | null, words?: string } & Picture} Query */
/**
 * A hit; the last two are of texts: parts of the text with their matches, and whether it is cut.
 * @typedef {{ row: number, name: string, similarity: number, meaning: string, same: boolean, missed: boolean,
 *   pieces?: [text: string, matches: boolean][], is_cut?: boolean } & Picture} Hit
 */
/**
 * @typedef {{ number: number, query: Query, hits: Hit[], positives: Mark[], negatives: Mark[], is_all: boolean,
 *   unlike: boolean, changes: string, back: boolean, forward: boolean }} Shown
 */
/** @typedef {{ column: string, kind: "text" | "part" | "number" | "date", texts?: string[], ends?: string[] }} Filter */
/**
 * @typedef {{ status: Status, shown: Shown, k: number, exact: boolean, offers_exact: boolean, caveat: string,
 *   selection: number[], positives: number[], negatives: number[], among: number[], filters: Filter[],
 *   where: Record<string, Condition>, reading: string }} SearchTraits
 */
/**
 * @typedef {SearchTraits & { max_bytes: number, max_total_bytes: number, side: number, reads_words: boolean,
 *   late: [number: number, ...made: ({ row: number } & Picture)[]] }} GalleryTraits
 */
/** @typedef {SearchTraits & { characters: number }} TextGalleryTraits */
/** @typedef {{ title: string, note: string, count: number, images: { row: number, name: string }[] }} Group */
/** @typedef {{ status: Status, groups: Group[], selection: number[] }} OverviewTraits */
/** @typedef {{ label: string, colour: string, count: number }} LegendEntry */
/** @typedef {{ entries?: LegendEntry[], colours?: string[], steps?: number, low?: number, high?: number }} Legend */
/**
 * @typedef {{ status: Status, selection: number[], query: number | null, color_by: string, height: number,
 *   _positions: DataView, _codes: DataView, _legend: Legend, _choices: string[] }} MapTraits
 */
/** @typedef {{ picture: DataView | null, absent: string }} VotedPicture */
/** @typedef {{ number?: number, query: VotedPicture, left: VotedPicture[], right: VotedPicture[] }} Trial */
/** @typedef {{ sentence?: string, rows: [name: string, value: string][], plot: string }} Result */
/** @typedef {{ status: Status, n: number, voted: number, can_undo: boolean, asked: Trial, result: Result }} BlindTestTraits */
/** @typedef {{ row: number, name: string, bytes: number, facts: string[] }} Duplicate */
/** @typedef {{ status: Status, kept: number[], _groups: Duplicate[][], _can_move: boolean, _proposed: number[] }} ReviewTraits */

/**
 * @template {object} [Traits=Record<string, any>]
 * @typedef {import("@anywidget/types").AnyModel<Traits>} Model
 */

export {};
