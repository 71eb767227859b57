#!/bin/sh
# Takes kernel, modules, device tree and first boot files from Raspberry Pi's firmware repository, and a UEFI for the board. Read
# with `.` by image/steps; see board/README.md.
set -eu

board_vendor() {
    tar -xf "$1" -C "$2" firmware.tar.gz uefi.zip
    mkdir -p "$2/firmware" "$2/uefi"
    # The 4-KiB-page kernel of all 64-bit Pis: with 16-KiB pages some programs for ARM do not start.
    tar -xzf "$2/firmware.tar.gz" -C "$2/firmware" --strip-components=1 --wildcards '*/boot/kernel8.img' '*/boot/bcm2712*' \
        '*/boot/overlays/*' '*/boot/LICENCE.broadcom' '*/boot/COPYING.linux' '*/modules/*-v8+/*'
    python3 -m zipfile -e "$2/uefi.zip" "$2/uefi"
    [ -f "$2/uefi/RPI_EFI.fd" ] || { say "uefi.zip has no RPI_EFI.fd."; exit 1; }
    cat "$2/firmware/boot/LICENCE.broadcom" >"$2/license"
    rm "$2/firmware.tar.gz" "$2/uefi.zip"
}

board_kernel() {
    # Raspberry Pi compresses it in a way that GRUB hands on and EFI cannot start.
    gzip -dc "$1/firmware/boot/kernel8.img" >"$2/Image" 2>/dev/null || cp "$1/firmware/boot/kernel8.img" "$2/Image"
    cp -r "$1/firmware/modules/." "$2/modules/"
    cp "$1/firmware/boot/bcm2712-rpi-5-b.dtb" "$2/dtbs/"
    printf 'Package: raspberrypi-kernel\nVersion: %s\n' "$(ls "$2/modules")" >"$2/about"
}

board_root() {
    :
}

# The Pi's own firmware reads config.txt and starts the UEFI as if it were a kernel.
board_boot() {
    cp "$WORK/vendor/uefi/RPI_EFI.fd" "$1/RPI_EFI.fd"
    cp "$WORK/vendor/firmware/boot/bcm2712-rpi-5-b.dtb" "$1/"
    mkdir -p "$1/overlays"
    for overlay in "$WORK/vendor/firmware/boot/overlays"/bcm2712d0.dtbo; do
        [ ! -e "$overlay" ] || cp "$overlay" "$1/overlays/"
    done
}
