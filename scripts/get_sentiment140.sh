#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/download.sh
. "$here/scripts/download.sh"

usage() {
  cat <<EOF
Usage: scripts/${0##*/}

Download Sentiment140 (Go, Bhayani & Huang 2009) and write the texts of its
first 20,000 tweets into tweets/texts_20k.csv, the column text.

An interrupted download resumes; complete files are skipped. The 81 MB zip is
removed afterwards; the texts take 2 MB.

Search them with the index in tweets/:
  similar-images search-texts -i tweets/texts_20k.csv --index tweets/tweets_20000.faiss.index "stuck in traffic"

Environment:
  SENTIMENT140_URL     the zip (http://cs.stanford.edu/people/alecmgo/trainingandtestdata.zip)
  SENTIMENT140_BYTES   its size, to check the free disk space
  SENTIMENT140_COUNT   the number of tweets to take
$(download_help)
EOF
}

case $* in
  '') ;;
  -h | --help) usage && exit ;;
  *) die "expected no argument, got: $*; see --help" ;;
esac
URL=${SENTIMENT140_URL:-http://cs.stanford.edu/people/alecmgo/trainingandtestdata.zip}
SIZE=${SENTIMENT140_BYTES:-81363704}
COUNT=${SENTIMENT140_COUNT:-20000}
TWEET=1000 # bytes, an upper bound
zip=trainingandtestdata.zip
fresh=tweets/texts_20k.part
texts=tweets/texts_20k.csv
python=$here/.venv/bin/python
[[ -x $python ]] || python=python3

with_tweets() { # FUNCTION ARGUMENT...: of similar_images.samples.tweets, prints its error as one line on stdout
  "$python" -c '
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from similar_images.samples import tweets

try:
    getattr(tweets, sys.argv[2])(*map(Path, sys.argv[4:]), int(sys.argv[3]))
except (ValueError, OSError) as error:
    sys.exit(print(error) or 1)
' "$here" "$1" "$COUNT" "${@:2}"
}

need_python() {
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "expected Python 3.11 or later as $python: run \`make install\` in $here first"
}

check_tweets() { # ZIP: write its texts into a temporary file
  local problem
  if ! problem=$(with_tweets extract "$1" "$fresh"); then
    [[ $problem != *"No space left"* ]] || cannot_write "$fresh"
    refuse "$1" "$problem"
  fi
}

get_tweets() {
  local zip_bytes=0
  has curl || has wget || die "requires curl or wget: install one of them and rerun"
  if [[ ! -f $zip ]]; then zip_bytes=$((SIZE - $(bytes "$zip.part"))); fi
  need_disk $((zip_bytes + COUNT * TWEET))
  mkdir -p tweets
  trap 'rm -f "$fresh"' EXIT
  fetch "$URL" "$zip" check_tweets
  mv "$fresh" "$texts"
  drop_zip "$zip"
}

need_python
if [[ ! -f $texts ]]; then
  get_tweets
else
  problem=$(with_tweets check "$texts") || die "$problem; move it away and rerun"
  say "already complete"
fi
echo "$texts: $COUNT texts"
