#!/bin/sh
# Moves near-duplicates out of the folder of the images: sh THIS_FILE [FOLDER_OF_THE_IMAGES [FOLDER_TO_MOVE_TO]]
# Nothing is deleted or overwritten. A file is moved only if it and the image to keep still have the size and
# SHA-256 of the comparison. Files moved before are left alone, so it can be run again.
set -u
from=@from@
to=@to@
[ "$#" -lt 1 ] || from=$1
[ "$#" -lt 2 ] || to=$2
case $from in /*) ;; *) from=./$from ;; esac
case $to in /*) ;; *) to=./$to ;; esac
moved=0 already=0 refused=0

if command -v sha256sum > /dev/null; then
    sha256() { sha256sum < "$1"; }
elif command -v shasum > /dev/null; then
    sha256() { shasum -a 256 < "$1"; }
elif command -v openssl > /dev/null; then
    sha256() { openssl dgst -sha256 -r < "$1"; }
else
    echo 'nothing moved: expected sha256sum, shasum or openssl, to verify the files' >&2
    exit 1
fi

is_unchanged() { # file, bytes, SHA-256
    [ -n "$3" ] || return 1
    size=$(wc -c < "$1") && [ "$((size))" -eq "$2" ] || return 1
    sum=$(sha256 "$1") && [ "${sum%% *}" = "$3" ]
}

exists() {
    [ -e "$1" ] || [ -L "$1" ]
}

leads_out() { # name; by .., as an absolute path, or through a symbolic link to a folder elsewhere
    case /$1/ in //* | */../*) return 0 ;; esac
    case $1 in */*) folder=$from/${1%/*} ;; *) return 1 ;; esac
    root=$(cd -P "$from" && pwd -P) && folder=$(cd -P "$folder" 2>/dev/null && pwd -P) || return 1
    case $folder/ in "${root%/}"/*) return 1 ;; esac
}

refuse() {
    printf 'not moved: %s: %s\n' "$1" "$2" >&2
    refused=$((refused + 1))
}

move() { # name, bytes and SHA-256, then the same of the image to keep
    if leads_out "$1" || leads_out "$4"; then
        refuse "$1" 'it, or the image to keep, is outside the folder of the images'
    elif ! exists "$from/$1" && exists "$to/$1"; then
        already=$((already + 1))
    elif ! exists "$from/$1"; then
        refuse "$1" 'it is missing'
    elif exists "$to/$1"; then
        refuse "$1" 'a file of this name was moved before'
    elif ! [ -f "$from/$4" ]; then
        refuse "$1" "the image to keep is missing: $4"
    elif ! is_unchanged "$from/$1" "$2" "$3"; then
        refuse "$1" 'it has changed since the comparison'
    elif ! is_unchanged "$from/$4" "$5" "$6"; then
        refuse "$1" "the image to keep has changed since the comparison: $4"
    else
        target=$to/$1
        if mkdir -p "${target%/*}" && mv "$from/$1" "$target"; then
            moved=$((moved + 1))
        else
            refuse "$1" 'see above'
        fi
    fi
}

@moves@

printf '%s moved to %s, %s moved before, %s not moved\n' "$moved" "$to" "$already" "$refused"
[ "$refused" -eq 0 ]
