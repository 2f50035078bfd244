#!/usr/bin/env bash
set -euo pipefail
# shellcheck source=download.sh
. "$(dirname "${BASH_SOURCE[0]}")/download.sh"

usage() {
  cat <<EOF
Usage: ${0##*/} [val2014|val2017]

Download the images of MS COCO's validation set, val2014 unless told otherwise,
into the current folder: images in val2014/, their names, sorted, in
ms_coco_file_list.txt (val2017/ and ms_coco_val2017_file_list.txt).

A download that broke goes on where it was, what is whole is skipped. The
server has no valid certificate: the MD5 sum of the zip is checked instead.

Examples:
  ./get_ms_coco_dataset.sh            # 40,504 images, 6.6 GB, twice that while unpacking
  ./get_ms_coco_dataset.sh val2017    # 5,000 images, 0.8 GB

Environment:
  COCO_URL            the folder that holds the zip (http://images.cocodataset.org/zips)
  COCO_MD5            the zip's MD5 sum
  COCO_BYTES          the zip's size, for the check of the disk
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
BLOCK=4096 # bytes, a file takes a multiple of it on disk
zip=$images.zip
fresh=$images.part

names() { # FOLDER: of the images in it, sorted, a line each
  if [[ -d $1 ]]; then
    find "$1/" -maxdepth 1 -name '*.jpg' -size +0 | sed 's|.*/||' | LC_ALL=C sort
  fi
}

missing() { # the names in the list that are not in the folder, or there twice
  LC_ALL=C comm -23 <(LC_ALL=C sort "$list") <(names "$images")
}

whole() { [[ -f $list ]] && (($(lines "$list") == COUNT)) && [[ -z $(missing) ]]; }

check_sum() {
  local got
  say "checking the sum of $zip"
  got=$(md5_of "$1")
  [[ $got == "$SUM" ]] || refuse "$1" "expected the MD5 sum $SUM, got $got"
}

write_list() { # FOLDER; a list that is there stays: other files follow its order
  [[ -f $list ]] && return
  names "$1" >"$list.part"
  mv "$list.part" "$list"
}

place_images() { # beside other files, where the folder is there
  if [[ -e $images ]]; then
    find "$fresh/$images" -type f -exec sh -c 'mv -f "$@" "$0/"' "$images" {} +
  else
    mv "$fresh/$images" "$images"
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

if whole; then
  say "already whole"
else
  if [[ -f $list ]] && (($(lines "$list") != COUNT)); then
    die "$list: expected $COUNT lines, got $(lines "$list"); move it away and run again"
  fi
  if [[ ! -f $list ]] && (($(names "$images" | wc -l) == COUNT)); then
    write_list "$images"
  else
    get_images
  fi
  whole || die "$list names $(missing | sed -n 1p), which is not in $images/: move the list away, run again"
  drop_zip "$zip"
fi
echo "$images: $COUNT images, named in $list"
