# shellcheck shell=bash
# Sourced by the scripts get_*.sh: a file that is downloaded is whole or absent.
# The tools of macOS suffice, its bash 3.2 too.

ATTEMPTS=${DOWNLOAD_ATTEMPTS:-10} # in a row that bring nothing new
PAUSE=${DOWNLOAD_PAUSE:-5}        # seconds between them
TIMEOUT=${DOWNLOAD_TIMEOUT:-60}   # seconds without a byte

download_help() {
  cat <<EOF
  KEEP_ZIP=1          keep the zip, which is removed once it is unpacked
  DOWNLOAD_ATTEMPTS   attempts in a row that may bring nothing new ($ATTEMPTS)
  DOWNLOAD_PAUSE      seconds between attempts ($PAUSE)
  DOWNLOAD_TIMEOUT    seconds without a byte after which a connection is given up ($TIMEOUT)
EOF
}

say() { printf '%s\n' "$*" >&2; }

die() {
  say "${0##*/}: $*"
  exit 1
}

has() { command -v "$1" >/dev/null; }

need_tools() {
  has unzip || die "needs unzip: install it and run again"
  has curl || has wget || die "needs curl or wget: install one of them and run again"
}

need_disk() { # BYTES: say now what would fail in an hour
  local free
  free=$(($(df -Pk . | awk 'NR == 2 { print $4 }') * 1024))
  ((free >= $1)) || die "needs $(megabytes "$1") of disk in $PWD, free are $(megabytes "$free"):" \
    "make room, or run it in a folder on a larger disk"
}

megabytes() { echo "$((($1 + 999999) / 1000000)) MB"; }

bytes() { if [[ -f $1 ]]; then echo $(($(wc -c <"$1"))); else echo 0; fi; }

lines() { grep -c '' "$1" || true; } # a last line without its newline counts

md5_of() { if has md5sum; then md5sum <"$1" | cut -c 1-32; else md5 -q "$1"; fi; }

refuse() { # FILE REASON: the next run starts afresh
  [[ $1 == *.part ]] || die "$1: $2; move it away and run again"
  rm -f "$1"
  die "${1%.part}: $2; the download was removed, run again to start afresh"
}

check_page() { # FILE
  if head -c 512 "$1" | LC_ALL=C grep -aiqE '<!doctype html|<html'; then
    refuse "$1" "it is a page, not a zip: open the address in a browser, and save the zip here"
  fi
}

fetch() { # URL ZIP CHECK: CHECK FILE refuses a file that is not what it should be
  if [[ -f $2 ]]; then
    "$3" "$2"
  else
    download "$1" "$2.part"
    check_page "$2.part"
    "$3" "$2.part"
    mv "$2.part" "$2"
  fi
}

download() { # URL PART: go on where an earlier run or attempt broke off
  local had now failed=0
  had=$(bytes "$2")
  say "downloading $1"
  until attempt "$1" "$2"; do
    now=$(bytes "$2")
    if ((now > had)); then had=$now failed=0; else failed=$((failed + 1)); fi
    ((failed < ATTEMPTS)) || die "$1 cannot be had, $ATTEMPTS attempts brought nothing new:" \
      "run again later, it goes on after the $now bytes that are here"
    say "the connection broke after $now bytes: going on in $PAUSE s"
    sleep "$PAUSE"
  done
}

attempt() { # URL PART: 0 whole, 1 worth another attempt
  local failure=0 answer=000
  if has curl; then
    answer=$(curl --fail --location --proto '=http,https' --connect-timeout "$TIMEOUT" --speed-limit 1 \
      --speed-time "$TIMEOUT" --continue-at - --output "$2" --write-out '%{http_code}' "$1") || failure=$?
    case $failure/$answer in
      0/*) ;;
      22/416) ;; # nothing comes after what is here
      22/408 | 22/429 | 22/5*) return 1 ;;
      22/*) die "the server answers $answer for $1: check the address" ;;
      1/* | 3/*) die "$1 is no address that can be downloaded: expected http:// or https://" ;;
      23/*) cannot_write "$2" ;;
      33/*) rm -f "$2" && return 1 ;; # the server cannot go on in the middle
      *) return 1 ;;
    esac
  else
    wget --continue --tries=1 --timeout="$TIMEOUT" --output-document="$2" "$1" || failure=$?
    case $failure in
      0) ;;
      1 | 2) die "$1 is no address that can be downloaded: expected http:// or https://" ;;
      3) cannot_write "$2" ;;
      8) die "the server answers with an error for $1: check the address, or run again later" ;;
      *) return 1 ;;
    esac
  fi
}

cannot_write() { die "cannot write $1, is the disk full? Make room and run again, it goes on where it was"; }

unpack() { # ZIP FOLDER: into a new folder
  local failure=0
  rm -rf "$2"
  mkdir "$2"
  say "unpacking ${1%.part}"
  unzip -q "$1" -d "$2" </dev/null >&2 || failure=$?
  case $failure in
    0 | 1) ;; # 1: a warning
    50) die "cannot unpack ${1%.part}, the disk is full: make room and run again" ;;
    *) refuse "$1" "it is not a whole zip (unzip: $failure)" ;;
  esac
}

drop_zip() {
  if [[ ${KEEP_ZIP:-} != 1 && -f $1 ]]; then
    rm "$1"
    say "removed $1, KEEP_ZIP=1 keeps it"
  fi
}
