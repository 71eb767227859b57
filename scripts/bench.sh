#!/bin/sh
# Measures speed and size of the release build, for who wants numbers: one JSON line per figure on standard output.
# Arguments are names of figures; without any, all are measured. Each ratio and its reference come from the same run.
set -eu

cd "$(dirname "$0")/.."
. scripts/need.sh

need_build
need_broker
need_onnxruntime
need_kafka
need_cables
exec cargo bench --locked --quiet --bench figures -- "$@"
