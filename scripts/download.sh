# shellcheck shell=bash
# Sourced by the scripts get_*.sh: a downloaded file is complete or absent.
# Works with the tools of macOS, including its bash 3.2.

ATTEMPTS=${DOWNLOAD_ATTEMPTS:-10} # consecutive, without new data
PAUSE=${DOWNLOAD_PAUSE:-5}        # seconds between them
TIMEOUT=${DOWNLOAD_TIMEOUT:-60}   # seconds without data

download_help() {
  cat <<EOF
  KEEP_ZIP=1          keep the zip; by default it is removed once unpacked
  DOWNLOAD_ATTEMPTS   consecutive attempts without new data before giving up ($ATTEMPTS)
  DOWNLOAD_PAUSE      seconds between attempts ($PAUSE)
  DOWNLOAD_TIMEOUT    seconds without data before a connection is dropped ($TIMEOUT)
EOF
}

say() { printf '%s\n' "$*" >&2; }

die() {
  say "${0##*/}: $*"
  exit 1
}

has() { command -v "$1" >/dev/null; }

need_tools() {
  has unzip || die "requires unzip: install it and rerun"
  has curl || has wget || die "requires curl or wget: install one of them and rerun"
}

need_disk() { # BYTES: fail now rather than in an hour
  local free
  free=$(($(df -Pk . | awk 'NR == 2 { print $4 }') * 1024))
  ((free >= $1)) || die "requires $(megabytes "$1") of disk space in $PWD, got $(megabytes "$free"):" \
    "free some space, or run in a folder on a larger disk"
}

megabytes() { echo "$((($1 + 999999) / 1000000)) MB"; }

bytes() { if [[ -f $1 ]]; then echo $(($(wc -c <"$1"))); else echo 0; fi; }

lines() { grep -c '' "$1" || true; } # counts a last line without a newline

md5_of() { if has md5sum; then md5sum <"$1" | cut -c 1-32; else md5 -q "$1"; fi; }

refuse() { # FILE REASON: the next run starts over
  [[ $1 == *.part ]] || die "$1: $2; move it away and rerun"
  rm -f "$1"
  die "${1%.part}: $2; the download was removed. Rerun to start over"
}

check_page() { # FILE
  if head -c 512 "$1" | LC_ALL=C grep -aiqE '<!doctype html|<html'; then
    refuse "$1" "expected a zip, got a web page: open the address in a browser and save the zip here"
  fi
}

fetch() { # URL ZIP CHECK: CHECK FILE refuses an unexpected file
  if [[ -f $2 ]]; then
    "$3" "$2"
  else
    download "$1" "$2.part"
    check_page "$2.part"
    "$3" "$2.part"
    mv "$2.part" "$2"
  fi
}

download() { # URL PART: resume an earlier run or attempt
  local before now failed=0
  before=$(bytes "$2")
  say "downloading $1"
  until attempt "$1" "$2"; do
    now=$(bytes "$2")
    if ((now > before)); then before=$now failed=0; else failed=$((failed + 1)); fi
    ((failed < ATTEMPTS)) || die "cannot download $1: $ATTEMPTS attempts brought no new data." \
      "Rerun later to resume after $now bytes"
    say "connection lost after $now bytes: retrying in $PAUSE s"
    sleep "$PAUSE"
  done
}

attempt() { # URL PART: 0 complete, 1 worth another attempt
  local failure=0 answer=000
  if has curl; then
    answer=$(curl --fail --location --proto '=http,https' --connect-timeout "$TIMEOUT" --speed-limit 1 \
      --speed-time "$TIMEOUT" --continue-at - --output "$2" --write-out '%{http_code}' "$1") || failure=$?
    case $failure/$answer in
      0/*) ;;
      22/416) ;; # already complete
      22/408 | 22/429 | 22/5*) return 1 ;;
      22/*) die "the server returned $answer for $1: check the address" ;;
      1/* | 3/*) die "expected http:// or https://, got $1" ;;
      23/*) cannot_write "$2" ;;
      33/*) rm -f "$2" && return 1 ;; # the server cannot resume
      *) return 1 ;;
    esac
  else
    wget --continue --tries=1 --timeout="$TIMEOUT" --output-document="$2" "$1" || failure=$?
    case $failure in
      0) ;;
      1 | 2) die "expected http:// or https://, got $1" ;;
      3) cannot_write "$2" ;;
      8) die "the server returned an error for $1: check the address, or rerun later" ;;
      *) return 1 ;;
    esac
  fi
}

cannot_write() { die "cannot write $1: is the disk full? Free some space and rerun to resume"; }

unpack() { # ZIP FOLDER: into a new folder
  local failure=0
  rm -rf "$2"
  mkdir "$2"
  say "unpacking ${1%.part}"
  unzip -q "$1" -d "$2" </dev/null >&2 || failure=$?
  case $failure in
    0 | 1) ;; # 1: a warning
    50) die "cannot unpack ${1%.part}: the disk is full. Free some space and rerun" ;;
    *) refuse "$1" "expected a complete zip, got a damaged one (unzip: $failure)" ;;
  esac
}

images_folder() { # NAME: the folder of COCO's images; ms_coco/NAME was used in 2022
  if [[ ! -d $1 && -d ms_coco/$1 ]]; then echo "ms_coco/$1"; else echo "$1"; fi
}

drop_zip() {
  if [[ ${KEEP_ZIP:-} != 1 && -f $1 ]]; then
    rm "$1"
    say "removed $1; KEEP_ZIP=1 keeps it"
  fi
}
