#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/download.sh
. "$here/scripts/download.sh"

usage() {
  cat <<EOF
Usage: ${0##*/}

Download the vectors of MS COCO's val2014 images, made with VGG16 (fc2, images
resized to 224x224 with nearest neighbour), into the current folder:
  ms_coco_file_list.txt                          the images' names
  ms_coco_file_list.txt.saved_predictions.npy    a vector for each, (40504, 4096)
  ms_coco_file_list.txt.saved_predictions.json   the manifest that search needs

An interrupted download resumes, complete files are skipped, and existing files
are never overwritten. The vectors have no published checksum: the zip, shape,
type and number of names are checked instead.

Example:
  ./get_ms_coco_vectors.sh    # 225 MB, 0.9 GB while unpacking

Environment:
  COCO_VECTORS_URL    the zip's address (on www.dropbox.com)
  COCO_VECTORS_BYTES  the zip's size, to check the free disk space
  COCO_COUNT          the number of vectors in it
$(download_help)
EOF
}

case $* in
  '') ;;
  -h | --help) usage && exit ;;
  *) die "expected no argument, got: $*; see --help" ;;
esac
URL=${COCO_VECTORS_URL:-https://www.dropbox.com/s/zlt6aszbgzgi6d2/ms_coco_predictions_vgg.zip?dl=1}
SIZE=${COCO_VECTORS_BYTES:-225000000}
COUNT=${COCO_COUNT:-40504}
VECTOR=$((4096 * 4)) # bytes, of float32
zip=ms_coco_predictions_vgg.zip
fresh=ms_coco_predictions_vgg.part
images=$(images_folder val2014)
list=ms_coco_file_list.txt
vectors=$list.saved_predictions.npy
manifest=$list.saved_predictions.json
python=$here/.venv/bin/python
[[ -x $python ]] || python=python3

with_vectors() { # FUNCTION FILE...: of similar_images.vectors, prints its error as one line on stdout
  "$python" -c '
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from similar_images.vectors.store import open_vectors, vectors_path
from similar_images.vectors.writer import adopt

try:
    {f.__name__: f for f in (adopt, open_vectors, vectors_path)}[sys.argv[2]](*map(Path, sys.argv[3:]))
except (ValueError, OSError) as error:
    sys.exit(print(error) or 1)
' "$here" "$@"
}

need_package() {
  with_vectors vectors_path "$vectors" 2>/dev/null ||
    die "$python cannot import similar_images: run \`make install\` in $here first"
}

check_list() { # of this folder
  [[ ! -f $list ]] || (($(lines "$list") == COUNT)) ||
    die "$list: expected $COUNT lines, got $(lines "$list"); move it away and rerun"
}

check_vectors() { # ZIP: unpack and check it in a temporary folder
  local npy names found problem
  unpack "$1" "$fresh"
  npy=$(in_zip '*.npy')
  names=$(in_zip "$list")
  found=$(grep -c . <<<"$npy" || true)
  ((found == 1)) || refuse "$1" "expected one .npy in it, got $found"
  [[ $npy == "$fresh/$vectors" ]] || mv "$npy" "$fresh/$vectors"
  if [[ -z $names ]]; then
    [[ -f $list ]] || die "$zip has no names: run get_ms_coco_dataset.sh first, then rerun this"
    cp "$list" "$fresh/$list"
  elif [[ $names != "$fresh/$list" ]]; then
    mv "$names" "$fresh/$list"
  fi
  found=$(lines "$fresh/$list")
  ((found == COUNT)) || refuse "$1" "expected $COUNT names, got $found"
  problem=$(with_vectors adopt "$fresh/$vectors" "$fresh/$list" "$fresh/$images") || refuse "$1" "$problem"
}

in_zip() { find "$fresh" -name "$1" ! -name '._*' -type f; } # ._*: what macOS adds

place() { # never overwrites a different file
  local file
  for file in "$list" "$vectors" "$manifest"; do
    [[ ! -e $file ]] || cmp -s "$file" "$fresh/$file" ||
      die "$file exists and differs from the one in $zip: move it away and rerun"
  done
  for file in "$list" "$vectors" "$manifest"; do mv -f "$fresh/$file" "$file"; done
}

get_vectors() {
  local zip_bytes=0
  need_tools
  if [[ ! -f $zip ]]; then zip_bytes=$((SIZE - $(bytes "$zip.part"))); fi
  need_disk $((zip_bytes + COUNT * VECTOR))
  trap 'rm -rf "$fresh"' EXIT
  fetch "$URL" "$zip" check_vectors
  place
  drop_zip "$zip"
}

need_package
check_list
if [[ ! -f $list || ! -f $vectors ]]; then
  get_vectors
elif [[ ! -f $manifest ]]; then
  problem=$(with_vectors adopt "$vectors" "$list" "$images") || die "$problem; move it away and rerun"
else
  say "already complete"
fi
problem=$(with_vectors open_vectors "$vectors" "$list") || die "$problem"
echo "$vectors: $COUNT vectors, named in $list"
