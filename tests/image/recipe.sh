#!/bin/sh
# Settings and functions of the image's recipe, for the tests beside this that take packages and files from where it takes them.
# Read with `.`, of no use alone.
set -eu

# Steps of the recipe are programs of their own, which read these from their environment.
set -a
. image/meta
. image/steps/lib.sh
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/kafclaw/image
set +a
