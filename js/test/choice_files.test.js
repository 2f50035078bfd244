import assert from "node:assert/strict";
import test from "node:test";
import { writeCsv, writeScript } from "../choice_files.js";

/** @param {string} name @param {boolean} checked @param {string} [sha256] */
const box = (name, checked, sha256 = "abc") => ({
  checked,
  dataset: { cell: JSON.stringify(name), quoted: JSON.stringify(`'${name}' 5 ${sha256}`), bytes: "5", sha256 },
});
const GROUPS = [
  [box("a.jpg", true), box("b.jpg", false)],
  [box("c.jpg", false, ""), box("d.jpg", true)],
];

test("the CSV has each image with its group; unreadable files have no bytes", () => {
  const lines = [
    "name,choice,group,bytes,sha256",
    "a.jpg,keep,1,5,abc",
    "b.jpg,move,1,5,abc",
    "c.jpg,move,2,,",
    "d.jpg,keep,2,5,abc",
  ];
  assert.equal(writeCsv(GROUPS, `${lines[0]}\n`), `${lines.join("\n")}\n`);
});

test("the script moves images beside the kept one of their group", () => {
  const moves = "move 'b.jpg' 5 abc 'a.jpg' 5 abc\nmove 'c.jpg' 5  'd.jpg' 5 abc\n";
  assert.equal(writeScript(GROUPS, "head\n", "tail\n"), `head\n${moves}tail\n`);
});
