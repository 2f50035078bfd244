// Bundles each widget into the Python package; `--check` compares the bundles with the committed files instead.

import { readFile } from "node:fs/promises";
import { build } from "esbuild";

const here = import.meta.dirname;
const WIDGETS = ["gallery", "text_gallery", "map", "overview", "blind_test", "duplicate_review"];
const isCheck = process.argv.includes("--check");
/** @satisfies {import("esbuild").BuildOptions} */
const options = /** @type {const} */ ({
  absWorkingDir: here,
  bundle: true,
  minify: true,
  charset: "utf8",
  write: !isCheck,
});

const results = await Promise.all([
  build({
    ...options,
    entryPoints: WIDGETS.flatMap(name => [`${name}.js`, `css/${name}.css`]).map(file => ({
      in: file,
      out: file.replace(/^css\/|\.\w+$/g, ""),
    })),
    outdir: "../similar_images/widgets/static",
    format: "esm",
  }),
  build({
    ...options,
    entryPoints: ["duplicate_page.js"],
    outfile: "../similar_images/templates/duplicates.js",
    format: "iife",
    globalName: "duplicatePage",
  }),
]);

if (isCheck) {
  for (const { path, text } of results.flatMap(result => result.outputFiles ?? [])) {
    const committed = await readFile(path, "utf8").catch(() => "");
    if (committed === text) continue;
    console.error(`${path} is not current: run npm run build in js/ and commit it`);
    process.exitCode = 1;
  }
}
