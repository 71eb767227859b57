#!/bin/sh
# Makes the images of boards whose vendor must be asked, out of stand-ins for what the vendor gives out, for who changes a recipe: same
# names, same layout, no contents. Looks at what landed where, and that a wrong sum, a missing licence's consent and a missing file
# are refused. Boards without a vendor are made as they are.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
need_image
has dpkg-deb || install_packages dpkg

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

fail() {
    say "FAIL $*"
    exit 1
}

# In the folder $1 of the vendor's tree, a package of Debian's kind $2 of the release $3, with the files that follow.
package() {
    folder=$scratch/Linux_for_Tegra/$1 package=$2 version=$3
    mkdir -p "$scratch/deb/DEBIAN" "$folder"
    printf 'Package: %s\nVersion: %s\nArchitecture: arm64\nMaintainer: nobody <nobody@example.org>\nDescription: stand-in\n' "$package" "$version" >"$scratch/deb/DEBIAN/control"
    shift 3
    for file in "$@"; do
        mkdir -p "$scratch/deb/$(dirname "$file")"
        echo stand-in >"$scratch/deb/$file"
    done
    [ "$package" != nvidia-l4t-core ] || : >"$scratch/deb/usr/lib/aarch64-linux-gnu/nvidia/libnvdla_compiler.so"
    dpkg-deb --root-owner-group -Zgzip -b "$scratch/deb" "$folder/${package}_${version}_arm64.deb" >/dev/null
    rm -r "$scratch/deb"
}

# As NVIDIA lays out the release $1: kernels in a folder of their own, and since R39 what is only for the driver `nvgpu` in packages of its own.
orin() {
    rm -rf "$scratch/Linux_for_Tegra"
    others=nv_tegra/l4t_deb_packages
    package kernel nvidia-l4t-kernel "$1" boot/Image
    package kernel nvidia-l4t-kernel-oot-modules "$1" "lib/modules/$2/updates/host1x.ko"
    package $others nvidia-l4t-firmware "$1" lib/firmware/nvidia/ga10b/fw.bin
    package $others nvidia-l4t-core "$1" usr/lib/aarch64-linux-gnu/nvidia/libnvrm_gpu.so
    package $others nvidia-l4t-nvpmodel "$1" etc/nvpmodel/nvpmodel_p3767_0003.conf
    case $1 in
    36*) package $others nvidia-l4t-cuda "$1" usr/lib/aarch64-linux-gnu/nvidia/libcuda.so.1.1 ;;
    *)
        package kernel nvidia-l4t-kernel-nvgpu "$1" "lib/modules/$2/updates/nvgpu.ko"
        package kernel nvidia-l4t-kernel-module-configs "$1" etc/modprobe.d/nvidia-preferred-oot-modules.conf
        package $others nvidia-l4t-firmware-nvgpu "$1" usr/share/doc/nvidia-l4t-firmware-nvgpu/copyright
        package $others nvidia-l4t-cuda "$1" usr/lib/aarch64-linux-gnu/nvidia/libnvcucompat.so
        package $others nvidia-l4t-cuda-nvgpu "$1" opt/nvidia/l4t-gpu-libs/nvgpu/libcuda.so.1.1
        ;;
    esac
    echo "Stand-in for the licence." >"$scratch/Linux_for_Tegra/nv_tegra/LICENSE"
    tar -cjf "$scratch/orin.tbz2" -C "$scratch" Linux_for_Tegra
}

pi() {
    mkdir -p "$scratch/firmware-1/boot/overlays" "$scratch/firmware-1/modules/6.12.1-v8+/kernel" "$scratch/uefi"
    echo kernel | gzip >"$scratch/firmware-1/boot/kernel8.img"
    echo tree >"$scratch/firmware-1/boot/bcm2712-rpi-5-b.dtb"
    echo overlay >"$scratch/firmware-1/boot/overlays/bcm2712d0.dtbo"
    echo "Stand-in for the licence." >"$scratch/firmware-1/boot/LICENCE.broadcom"
    echo copying >"$scratch/firmware-1/boot/COPYING.linux"
    echo module >"$scratch/firmware-1/modules/6.12.1-v8+/kernel/macb.ko"
    tar -czf "$scratch/firmware.tar.gz" -C "$scratch" firmware-1
    echo uefi >"$scratch/uefi/RPI_EFI.fd"
    (cd "$scratch/uefi" && python3 -m zipfile -c ../uefi.zip RPI_EFI.fd)
    radio=$scratch/nonfree-1/debian/config/brcm80211
    mkdir -p "$radio/brcm" "$radio/cypress"
    echo "Stand-in for the licence of the radio." >"$radio/copyright"
    echo firmware >"$radio/cypress/cyfmac43455-sdio-standard.bin"
    echo regions >"$radio/cypress/cyfmac43455-sdio.clm_blob"
    echo settings >"$radio/brcm/brcmfmac43455-sdio.txt"
    ln -s ../../cypress/cyfmac43455-sdio.bin "$radio/brcm/brcmfmac43455-sdio.raspberrypi,5-model-b.bin"
    tar -czf "$scratch/firmware-nonfree.tar.gz" -C "$scratch" nonfree-1
    tar -cf "$scratch/pi.tar" -C "$scratch" firmware.tar.gz uefi.zip firmware-nonfree.tar.gz
}

sum() {
    sha256sum "$1" | cut -d ' ' -f 1
}

# The steps up to the disk's contents; packing disks of stand-ins would show nothing more.
steps() {
    board=$1
    shift
    : >"$scratch/log"
    for step in 10-base 20-kernel 30-rootfs 40-initramfs 50-boot; do
        scripts/image.sh "$board" "$@" --only "$step.sh" >>"$scratch/log" 2>&1 || return 1
    done
}

# In the work folder of the board $1, each of the files that follow.
has_landed() {
    work=$CARGO_TARGET_DIR/image/$1
    shift
    for file in "$@"; do
        [ -s "$work/$file" ] || fail "$work/$file is missing"
    done
}

# The bill of materials of the board $1 has each of the parts that follow, as they begin.
is_billed() {
    work=$CARGO_TARGET_DIR/image/$1
    scripts/bill.py --dpkg-status "$work/dpkg-status" --cargo-lock Cargo.lock --about "$work/kernel/about" --parts "$work/parts" "$work/vendor/parts" \
        --models models --onnxruntime 0 --name "$1" --version 0 --epoch 0 >"$scratch/bill"
    shift
    for part in deb/debian/busybox-static@ deb/debian/grub-efi-arm64-bin@ generic/all-minilm "$@"; do
        grep -q "\"purl\": \"pkg:$part" "$scratch/bill" || fail "the bill of materials lacks $part"
    done
    ! grep -q 'deb/debian/\(nvidia\|raspberrypi\)' "$scratch/bill" || fail "the bill of materials takes what is a vendor's for Debian's"
}

# They are stand-ins, and large.
clear() {
    rm -rf "$CARGO_TARGET_DIR/image/$1"
}

KAFCLAW_BINARY=${KAFCLAW_BINARY:-$PWD/target/dist/kafclaw}
export KAFCLAW_BINARY
orin 39.2.0 6.8.12-1021-tegra
pi
steps jetson-orin-nano && fail "an image was made without the vendor's files"
grep -q developer.nvidia.com "$scratch/log" || fail "nobody is told where to fetch them: $(cat "$scratch/log")"
steps jetson-orin-nano --vendor "$scratch/orin.tbz2" --sha256 0000 --accept-license && fail "a wrong file was taken"
grep -q 'is not the Jetson' "$scratch/log" || fail "$(cat "$scratch/log")"
steps jetson-orin-nano --vendor "$scratch/orin.tbz2" --sha256 "$(sum "$scratch/orin.tbz2")" && fail "nobody agreed to the licence"
grep -q 'Stand-in for the licence' "$scratch/log" || fail "the licence was not shown"
steps jetson-orin-nano --vendor "$scratch/orin.tbz2" --sha256 "$(sum "$scratch/orin.tbz2")" --accept-license || fail "$(cat "$scratch/log")"
has_landed jetson-orin-nano root/boot/Image root/boot/initrd root/usr/lib/modules/6.8.12-1021-tegra/modules.dep \
    root/usr/lib/modules/6.8.12-1021-tegra/updates/nvgpu.ko root/usr/lib/firmware/nvidia/ga10b/fw.bin root/opt/nvidia/l4t-gpu-libs/nvgpu/libcuda.so.1.1 \
    root/etc/modprobe.d/nvidia-preferred-oot-modules.conf root/etc/ld.so.conf.d/nvidia.conf esp/EFI/BOOT/BOOTAA64.EFI root/usr/bin/kafclaw
grep -q 'Stand-in for the licence' "$scratch/log" || fail "whoever agreed is not shown to what"
is_billed jetson-orin-nano deb/nvidia/nvidia-l4t-kernel@39.2.0 deb/nvidia/nvidia-l4t-cuda-nvgpu@39.2.0
root=$CARGO_TARGET_DIR/image/jetson-orin-nano/root
[ ! -e "$root/usr/lib/aarch64-linux-gnu/nvidia/libnvdla_compiler.so" ] || fail "an empty library was taken"
grep -q '^video:.*kafclaw' "$root/etc/group" || fail "the assistant may not use the GPU"
clear jetson-orin-nano
say "ok   jetson-orin-nano, JetPack 7.2"
orin 36.5.0 5.15.185-tegra
steps jetson-orin-nano --vendor "$scratch/orin.tbz2" --sha256 "$(sum "$scratch/orin.tbz2")" --accept-license || fail "$(cat "$scratch/log")"
has_landed jetson-orin-nano root/usr/lib/modules/5.15.185-tegra/modules.dep root/usr/lib/aarch64-linux-gnu/nvidia/libcuda.so.1.1
clear jetson-orin-nano
say "ok   jetson-orin-nano, JetPack 6.2.2"
rm "$scratch/Linux_for_Tegra/nv_tegra/l4t_deb_packages"/nvidia-l4t-cuda_*
tar -cjf "$scratch/orin.tbz2" -C "$scratch" Linux_for_Tegra
steps jetson-orin-nano --vendor "$scratch/orin.tbz2" --sha256 "$(sum "$scratch/orin.tbz2")" --accept-license && fail "a package that lacks the driver was taken"
grep -q 'has no package nvidia-l4t-cuda' "$scratch/log" || fail "$(cat "$scratch/log")"
steps raspberry-pi-5 --vendor "$scratch/pi.tar" --sha256 "$(sum "$scratch/pi.tar")" --accept-license || fail "$(cat "$scratch/log")"
has_landed raspberry-pi-5 root/boot/Image esp/RPI_EFI.fd esp/config.txt esp/bcm2712-rpi-5-b.dtb \
    root/usr/lib/modules/6.12.1-v8+/modules.dep esp/EFI/BOOT/grub.cfg root/usr/lib/firmware/brcm/brcmfmac43455-sdio.bin \
    root/usr/lib/firmware/brcm/brcmfmac43455-sdio.clm_blob root/usr/lib/firmware/brcm/brcmfmac43455-sdio.txt
is_billed raspberry-pi-5 generic/raspberrypi/raspberrypi-kernel@6.12.1-v8+ generic/worproject/rpi5-uefi generic/raspberrypi/firmware-brcm80211
! grep -q board_dtb "$CARGO_TARGET_DIR/image/raspberry-pi-5/esp/EFI/BOOT/board.cfg" || fail "GRUB replaces the tree that the Pi's firmware has completed"
clear raspberry-pi-5
say "ok   raspberry-pi-5"
for board in jetson-nano generic-arm64-uefi; do
    steps $board || fail "$(cat "$scratch/log")"
    has_landed $board root/boot/Image root/boot/initrd esp/EFI/BOOT/board.cfg
    is_billed $board deb/debian/linux-image-
    if [ $board = jetson-nano ]; then
        has_landed $board root/boot/dtbs/nvidia/tegra210-p3450-0000.dtb
        # Its card has no power without.
        grep -q '/fixed\.ko' "$CARGO_TARGET_DIR/image/$board/initramfs.modules" || fail "the initramfs lacks the regulator of its card"
    fi
    grep -aq libc.so.6 "$CARGO_TARGET_DIR/image/$board/root/etc/ld.so.cache" || fail "programs of $board do not know where libraries are"
    clear $board
    say "ok   $board"
done
