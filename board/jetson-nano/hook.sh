#!/bin/sh
# What only this board needs: nothing.
# Read with `.` by image/steps; see board/README.md.
set -eu

board_vendor() {
    :
}

board_kernel() {
    :
}

board_root() {
    :
}

board_boot() {
    :
}
