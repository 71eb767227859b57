#!/bin/sh
# Asks a running gateway through OpenAI's own Python client, for who changes the doors under /v1.
# Usage: check_openai.sh ADDRESS TOKEN [embedding] [speech=FILE] [language=ID], such as http://127.0.0.1:18790/v1
# The client is installed once into the cache folder; the check itself talks to the gateway only.
set -eu

cd "$(dirname "$0")/.."
[ $# -ge 2 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 64; }
venv=${XDG_CACHE_HOME:-$HOME/.cache}/kafclaw/openai
if ! "$venv/bin/python" -c 'import openai' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet openai==3.52.0
fi
exec "$venv/bin/python" scripts/openai_check.py "$@"
