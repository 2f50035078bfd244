#!/usr/bin/env bash
set -euo pipefail
# shellcheck source=scripts/download.sh
. "$(dirname "${BASH_SOURCE[0]}")/scripts/download.sh"

usage() {
  cat <<EOF
Usage: ${0##*/} [val2014|val2017]

Download the images of MS COCO's validation set (default: val2014) into the
current folder: images in val2014/, their sorted names in ms_coco_file_list.txt
(val2017: val2017/ and ms_coco_val2017_file_list.txt). Images in
ms_coco/val2014/, the folder of 2022, are used there.

An interrupted download resumes; complete files are skipped. The server has
no valid certificate, so the MD5 checksum of the zip is checked instead.

Examples:
  ./get_ms_coco_dataset.sh            # 40,504 images, 6.6 GB, twice that while unpacking
  ./get_ms_coco_dataset.sh val2017    # 5,000 images, 0.8 GB

Environment:
  COCO_URL            the folder that holds the zip (http://images.cocodataset.org/zips)
  COCO_MD5            the zip's MD5 checksum
  COCO_BYTES          the zip's size, to check the free disk space
  COCO_COUNT          the number of images in it
$(download_help)
EOF
}

(($# <= 1)) || die "expected one data set, got: $*; see --help"
images=${1:-val2014}
case $images in
  -h | --help) usage && exit ;;
  val2014)
    list=ms_coco_file_list.txt
    SUM=a3d79f5ed8d289b7a7554ce06a5782b3 SIZE=6645013297 COUNT=40504
    ;;
  val2017)
    list=ms_coco_val2017_file_list.txt
    SUM=442b8da7639aecaf257c1dceb8ba8c80 SIZE=815585330 COUNT=5000
    ;;
  *) die "expected val2014 or val2017, got: $images; see --help" ;;
esac
URL=${COCO_URL:-http://images.cocodataset.org/zips}
SUM=${COCO_MD5:-$SUM}
SIZE=${COCO_BYTES:-$SIZE}
COUNT=${COCO_COUNT:-$COUNT}
BLOCK=4096 # bytes; files take whole blocks on disk
folder=$(images_folder "$images")
zip=$images.zip
fresh=$images.part

names() { # FOLDER: of its images, sorted, one per line
  if [[ -d $1 ]]; then
    find "$1/" -maxdepth 1 -name '*.jpg' -size +0 | sed 's|.*/||' | LC_ALL=C sort
  fi
}

missing() { # listed names without a file in the folder, or listed twice
  LC_ALL=C comm -23 <(LC_ALL=C sort "$list") <(names "$folder")
}

complete() { [[ -f $list ]] && (($(lines "$list") == COUNT)) && [[ -z $(missing) ]]; }

check_sum() {
  local got
  say "checking the MD5 checksum of $zip"
  got=$(md5_of "$1")
  [[ $got == "$SUM" ]] || refuse "$1" "expected the MD5 checksum $SUM, got $got"
}

write_list() { # FOLDER; an existing list is kept: vectors follow its order
  [[ -f $list ]] && return
  names "$1" >"$list.part"
  mv "$list.part" "$list"
}

place_images() { # next to other files if the folder exists
  if [[ -e $folder ]]; then
    find "$fresh/$images" -type f -exec sh -c 'mv -f "$@" "$0/"' "$folder" {} +
  else
    mv "$fresh/$images" "$folder"
  fi
}

get_images() {
  local zip_bytes=0 found
  need_tools
  if [[ ! -f $zip ]]; then zip_bytes=$((SIZE - $(bytes "$zip.part"))); fi
  need_disk $((zip_bytes + SIZE + COUNT * BLOCK))
  fetch "$URL/$zip" "$zip" check_sum
  trap 'rm -rf "$fresh"' EXIT
  unpack "$zip" "$fresh"
  found=$(names "$fresh/$images" | wc -l)
  ((found == COUNT)) || refuse "$zip" "expected $COUNT images in $images/, got $((found))"
  write_list "$fresh/$images"
  place_images
}

if complete; then
  say "already complete"
else
  if [[ -f $list ]] && (($(lines "$list") != COUNT)); then
    die "$list: expected $COUNT lines, got $(lines "$list"); move it away and rerun"
  fi
  if [[ ! -f $list ]] && (($(names "$folder" | wc -l) == COUNT)); then
    write_list "$folder"
  else
    get_images
  fi
  complete || die "$list names $(missing | sed -n 1p), but $folder/ lacks it: move the list away and rerun"
  drop_zip "$zip"
fi
echo "$folder: $COUNT images, named in $list"
