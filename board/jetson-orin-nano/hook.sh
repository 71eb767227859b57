#!/bin/sh
# Takes kernel, modules, firmware and the driver of the GPU out of the vendor's package (Linux_for_Tegra). Read with `.` by
# image/steps; see board/README.md.
set -eu

# Packages of the vendor that a machine without a screen needs. The vendor's own nv-apply-debs.sh takes kernels from kernel/ and the rest from
# nv_tegra/l4t_deb_packages/.
board_packages='nvidia-l4t-kernel nvidia-l4t-kernel-oot-modules nvidia-l4t-firmware nvidia-l4t-core nvidia-l4t-cuda nvidia-l4t-nvpmodel'
# Since R39 there are two drivers for GPUs, and what is Orin's lies in packages of its own; R36 has it in those above.
board_packages_r39='nvidia-l4t-kernel-nvgpu nvidia-l4t-kernel-module-configs nvidia-l4t-firmware-nvgpu nvidia-l4t-cuda-nvgpu'

# Where the package $2 is in the vendor's tree $1; nothing where it is not.
board_package() {
    find "$1/kernel" "$1/nv_tegra/l4t_deb_packages" -name "${2}_*.deb" | LC_ALL=C sort | tail -n 1
}

board_vendor() {
    tar -xf "$1" -C "$2" --strip-components=1 --wildcards 'Linux_for_Tegra/nv_tegra/LICENSE*' 'Linux_for_Tegra/nv_tegra/l4t_deb_packages' \
        'Linux_for_Tegra/kernel/*.deb' || { say "$1 is not laid out as the package of Jetson Linux is."; exit 1; }
    [ -f "$2/nv_tegra/LICENSE" ] || { say "$1 has no nv_tegra/LICENSE: it is not what it should be."; exit 1; }
    cp "$2/nv_tegra/LICENSE" "$2/license"
    mkdir -p "$2/unpacked"
    for package in $board_packages; do
        [ -n "$(board_package "$2" "$package")" ] || { say "$1 has no package $package."; exit 1; }
    done
    for package in $board_packages $board_packages_r39; do
        found=$(board_package "$2" "$package")
        [ -n "$found" ] || continue
        dpkg-deb -x "$found" "$2/unpacked"
        { dpkg-deb -f "$found" Package Version Architecture; echo 'Vendor: nvidia'; } >"$2/parts/$package"
    done
    # Placeholders for the driver are empty where another package has it.
    find "$2/unpacked" -name '*.so*' -type f -empty -delete
    [ -n "$(find "$2/unpacked" -name 'libcuda.so.1.1')" ] || { say "None of its packages has the driver of the GPU (libcuda.so.1.1)."; exit 1; }
    rm -rf "$2/nv_tegra" "$2/kernel"
}

board_kernel() {
    cp "$1/unpacked/boot/Image" "$2/Image"
    from=$1/unpacked/lib/modules
    [ -d "$from" ] || from=$1/unpacked/usr/lib/modules
    cp -r "$from/." "$2/modules/"
    cp "$1/parts/nvidia-l4t-kernel" "$2/about"
    # The rest is laid over the root; the vendor's own boot files, services and users' programs are not.
    for folder in lib/firmware lib/aarch64-linux-gnu lib/modprobe.d etc/modprobe.d etc/modules-load.d etc/nvpmodel opt/nvidia/l4t-gpu-libs/nvgpu; do
        for from in "$1/unpacked/$folder" "$1/unpacked/usr/$folder"; do
            [ -d "$from" ] || continue
            case $folder in
            lib/*) to=$1/rootfs/usr/lib ;;
            *) to=$1/rootfs/${folder%/*} ;;
            esac
            mkdir -p "$to"
            cp -r "$from" "$to/"
        done
    done
    rm -rf "$1/unpacked"
}

# Programs find the driver where the vendor puts it, of R39 before that of R36.
board_root() {
    mkdir -p "$1/etc/ld.so.conf.d"
    printf '%s\n' /opt/nvidia/l4t-gpu-libs/nvgpu /usr/lib/aarch64-linux-gnu/nvidia /usr/lib/aarch64-linux-gnu/tegra /usr/local/cuda/lib64 \
        >"$1/etc/ld.so.conf.d/nvidia.conf"
}

board_boot() {
    :
}
