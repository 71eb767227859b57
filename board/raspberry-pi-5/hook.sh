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
    came_in "$2/uefi.zip" rpi5-uefi worproject >"$2/parts/uefi"
    came_in "$2/firmware.tar.gz" raspberrypi-kernel raspberrypi >"$2/parts/kernel"
    echo "Version: $(ls "$2/firmware/modules")" >>"$2/parts/kernel"
    rm "$2/firmware.tar.gz" "$2/uefi.zip"
    # Firmware of the radio is given out apart; without it the board has its cable.
    if tar -tf "$1" | grep -qx firmware-nonfree.tar.gz; then
        tar -xf "$1" -C "$2" firmware-nonfree.tar.gz
        radio "$2/firmware-nonfree.tar.gz" "$2/rootfs/usr/lib/firmware"
        cat "$2/rootfs/usr/lib/firmware/copyright" >>"$2/license"
        came_in "$2/firmware-nonfree.tar.gz" firmware-brcm80211 raspberrypi >"$2/parts/radio"
        rm "$2/firmware-nonfree.tar.gz" "$2/rootfs/usr/lib/firmware/copyright"
    else
        say "      without firmware-nonfree.tar.gz: this board will have no Wi-Fi"
    fi
}

# What the bill of materials says of $2 by $3, which came in the file $1 and has no version of its own.
came_in() {
    printf 'Package: %s\nVendor: %s\nSha256: %s\n' "$2" "$3" "$(sha256sum "$1" | cut -d ' ' -f 1)"
}

# Lays the firmware of the radio out of $1 into $2, by the names that brcmfmac asks for: in Raspberry Pi's packages some of them are made
# when they are installed.
radio() {
    mkdir -p "$2"
    tar -xzf "$1" -C "$2" --strip-components=4 --wildcards '*/debian/config/brcm80211/brcm/*43455*' '*/debian/config/brcm80211/cypress/*43455*' \
        '*/debian/config/brcm80211/copyright'
    find "$2" -xtype l -delete
    for part in bin clm_blob; do
        for name in cyfmac43455-sdio-standard cyfmac43455-sdio; do
            [ -e "$2/brcm/brcmfmac43455-sdio.$part" ] || [ ! -e "$2/cypress/$name.$part" ] ||
                ln -s "../cypress/$name.$part" "$2/brcm/brcmfmac43455-sdio.$part"
        done
    done
    [ -e "$2/brcm/brcmfmac43455-sdio.bin" ] || { say "firmware-nonfree.tar.gz has no firmware for the radio of this board."; exit 1; }
}

board_kernel() {
    # Raspberry Pi compresses it in a way that GRUB hands on and EFI cannot start.
    gzip -dc "$1/firmware/boot/kernel8.img" >"$2/Image" 2>/dev/null || cp "$1/firmware/boot/kernel8.img" "$2/Image"
    cp -r "$1/firmware/modules/." "$2/modules/"
    cp "$1/parts/kernel" "$2/about"
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
