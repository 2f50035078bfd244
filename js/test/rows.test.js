import assert from "node:assert/strict";
import test from "node:test";
import { Paging } from "../rows.js";

test("blocks are requested one after the other", () => {
  const paging = new Paging();
  paging.reset(8, false);
  assert.equal(paging.requestNext(), 8);
  assert.equal(paging.requestNext(), null);
  assert.equal(paging.receive(8, 20, false), "new");
  assert.equal(paging.requestNext(), 28);
});

test("the last hit ends the requests", () => {
  const paging = new Paging();
  paging.reset(8, false);
  assert.equal(paging.receive(8, 3, true), "new");
  assert.deepEqual([paging.loaded, paging.requestNext()], [11, null]);
});

test("an emptied block arrives again", () => {
  const paging = new Paging();
  paging.reset(8, false);
  paging.receive(8, 20, false);
  assert.equal(paging.receive(8, 20, false), "again");
  assert.equal(paging.loaded, 28);
});

test("blocks of an earlier query are unexpected", () => {
  const paging = new Paging();
  paging.reset(8, false);
  paging.receive(8, 20, false);
  paging.reset(5, false);
  assert.equal(paging.receive(8, 20, false), "unexpected");
});

test("a block without hits ends the list", () => {
  const paging = new Paging();
  paging.reset(8, false);
  assert.equal(paging.receive(8, 0, true), "empty");
  assert.deepEqual([paging.isAll, paging.requestNext()], [true, null]);
});
