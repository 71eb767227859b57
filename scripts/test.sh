#!/bin/sh
# Runs every test, for who changes the code: installs what is missing (also brokers, a browser, ONNX Runtime and clients of others), builds, tests.
# Arguments go to `cargo test`; the exit code and the last lines are its own. Nothing leaves this machine.
set -eu

cd "$(dirname "$0")/.."
. scripts/need.sh

need_build
need_broker
need_onnxruntime
need_browser
need_kafka
need_foreign_peers
need_cables
# With a network, which tests do not have everywhere.
cargo fetch --locked --quiet
with_cables cargo test --locked --no-fail-fast "$@"
