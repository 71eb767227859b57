#!/bin/sh
# The kernel: Debian's own, without drivers that no board has, or the vendor's
# A step of scripts/image.sh, which sets what is written in capitals here and shows people the line above.
set -eu

. scripts/need.sh
. image/steps/lib.sh
. "board/$BOARD/hook.sh"

kernel=$WORK/kernel
rm -rf "$kernel" "$WORK/vendor"
mkdir -p "$kernel/modules" "$kernel/dtbs" "$WORK/vendor/parts"

# What vendors give out is looked at before anything of it is used.
if [ -n "$VENDOR_NAME" ]; then
    if [ -z "$VENDOR_FILE" ]; then
        say "$BOARD needs $VENDOR_NAME, which only its vendor may give out:
  $VENDOR_PAGE
Fetch it there, and say where it lies: scripts/image.sh $BOARD --vendor FILE"
        exit 1
    fi
    wanted=${VENDOR_SUM:-$VENDOR_SHA256}
    [ -n "$wanted" ] || { say "Please say with --sha256 what its sum is on the vendor's page."; exit 1; }
    is=$(sha256sum "$VENDOR_FILE" | cut -d ' ' -f 1)
    if [ "$is" != "$wanted" ]; then
        say "$VENDOR_FILE is not $VENDOR_NAME: its sha256 is $is, not $wanted."
        exit 1
    fi
    board_vendor "$VENDOR_FILE" "$WORK/vendor"
    if [ -n "$LICENSE_ACCEPTED" ]; then
        say "      Its licence, agreed to with --accept-license ($WORK/vendor/license), begins:"
        head -n 8 "$WORK/vendor/license" >&2
    else
        say "Its licence:"
        cat "$WORK/vendor/license" >&2
        say "Whoever agrees adds --accept-license. The image then holds files of the vendor and must not be given to others."
        exit 1
    fi
fi

if [ "$KERNEL" = debian ]; then
    # Which one it is on that day is asked once.
    kept=$CACHE/kernel-$(origin)
    if [ ! -s "$kept" ]; then
        update_lists
        board_apt apt-cache depends --important linux-image-arm64 | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p' >"$kept.new"
        [ -s "$kept.new" ] || { say "Debian's mirror knows no linux-image-arm64."; exit 1; }
        mv "$kept.new" "$kept"
    fi
    package=$(cat "$kept")
    files=$(unpacked "$package")
    version=${package#linux-image-}
    cp "$files/boot/vmlinuz-$version" "$kernel/Image"
    cp -r "$files/lib/modules/$version" "$kernel/modules/$version"
    listed image/modules.absent | while read -r drivers; do rm -rf "$kernel/modules/$version/kernel/$drivers"; done
    for tree in $DTBS; do
        mkdir -p "$kernel/dtbs/${tree%/*}"
        cp "$files/usr/lib/linux-image-$version/$tree" "$kernel/dtbs/$tree"
    done
    cp "$files/../about" "$kernel/about"
else
    # The hook has put Image, modules/<version>, dtbs and about where they are looked for.
    board_kernel "$WORK/vendor" "$kernel"
    version=$(ls "$kernel/modules")
fi
echo "$version" >"$kernel/version"
mkdir -p "$WORK/depmod/lib" && ln -sfn "$kernel/modules" "$WORK/depmod/lib/modules"
depmod -b "$WORK/depmod" "$version"
