#!/bin/sh
# The boot partition: GRUB made for it, its counters, what the board adds
# A step of scripts/image.sh, which sets what is written in capitals here and shows people the line above.
set -eu

. scripts/need.sh
. image/steps/lib.sh
. "board/$BOARD/hook.sh"

esp=$WORK/esp
rm -rf "$esp"
mkdir -p "$esp/EFI/BOOT"
grub=$(ingredient grub-efi-arm64-bin)/usr/lib/grub/arm64-efi
# Nothing is loaded later: the list is all that GRUB can do.
grub-mkimage -O arm64-efi -d "$grub" -p /EFI/BOOT -o "$esp/EFI/BOOT/BOOTAA64.EFI" \
    part_gpt fat ext2 normal configfile linux fdt loadenv test regexp probe echo sleep reboot halt minicmd smbios efifwsetup all_video
cp image/grub/grub.cfg "$esp/EFI/BOOT/grub.cfg"
{
    echo "# Made from board/$BOARD/meta."
    echo "set board_cmdline=\"$CMDLINE\""
    [ -z "$DTB" ] || echo "set board_dtb=\"$DTB\""
} >"$esp/EFI/BOOT/board.cfg"
grub-editenv "$esp/EFI/BOOT/grubenv" create
grub-editenv "$esp/EFI/BOOT/grubenv" set ORDER="A B" A_OK=1 A_TRY=0 B_OK=0 B_TRY=0 RESET=0
cp "$esp/EFI/BOOT/grubenv" "$esp/EFI/BOOT/grubenv.bak"
overlay "board/$BOARD/boot" "$esp"
board_boot "$esp"
