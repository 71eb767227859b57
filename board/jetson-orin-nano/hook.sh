#!/bin/sh
# Takes kernel, modules, firmware and the driver of the GPU out of the vendor's package (Linux_for_Tegra). Read with `.` by
# image/steps; see board/README.md.
set -eu

# Packages of the vendor that a machine without a screen needs.
board_packages='nvidia-l4t-kernel nvidia-l4t-kernel-oot-modules nvidia-l4t-firmware nvidia-l4t-core nvidia-l4t-cuda nvidia-l4t-nvpmodel'

board_vendor() {
    tar -xf "$1" -C "$2" --strip-components=1 Linux_for_Tegra/nv_tegra
    [ -f "$2/nv_tegra/LICENSE" ] || { say "$1 has no nv_tegra/LICENSE: it is not what it should be."; exit 1; }
    cp "$2/nv_tegra/LICENSE" "$2/license"
    mkdir -p "$2/unpacked"
    for package in $board_packages; do
        found=$(find "$2/nv_tegra/l4t_deb_packages" -name "${package}_*.deb" | LC_ALL=C sort | tail -n 1)
        [ -n "$found" ] || { say "$1 has no package $package."; exit 1; }
        dpkg-deb -x "$found" "$2/unpacked"
    done
    rm -rf "$2/nv_tegra"
}

board_kernel() {
    cp "$1/unpacked/boot/Image" "$2/Image"
    from=$1/unpacked/lib/modules
    [ -d "$from" ] || from=$1/unpacked/usr/lib/modules
    cp -r "$from/." "$2/modules/"
    printf 'Package: nvidia-l4t-kernel\nVersion: %s\n' "$(ls "$2/modules")" >"$2/about"
    # The rest is laid over the root; the vendor's own boot files and users' programs are not.
    mkdir -p "$1/rootfs/usr/lib"
    for folder in firmware aarch64-linux-gnu; do
        for from in "$1/unpacked/lib/$folder" "$1/unpacked/usr/lib/$folder"; do
            [ ! -d "$from" ] || cp -r "$from" "$1/rootfs/usr/lib/"
        done
    done
    rm -rf "$1/unpacked"
}

# Programs find the driver where the vendor puts it.
board_root() {
    mkdir -p "$1/etc/ld.so.conf.d"
    printf '/usr/lib/aarch64-linux-gnu/nvidia\n/usr/lib/aarch64-linux-gnu/tegra\n/usr/local/cuda/lib64\n' >"$1/etc/ld.so.conf.d/nvidia.conf"
    ldconfig -r "$1" 2>/dev/null || true
}

board_boot() {
    :
}
