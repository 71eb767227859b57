#!/bin/sh
# Makes an owner in a running image, tells it secrets, resets it by its command line, pulls the plug in the middle, and starts it again: it must
# come up as another machine without an owner, and nothing that it was told may be left on its disk. Then once more by GRUB's menu, as
# somebody does who has a keyboard and no password. `reset.sh [IMAGE]`.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
. tests/image/machine.sh
. image/meta

image=${1:-target/image/$PRODUCT-qemu-aarch64-$VERSION.img.zst}
need_machine
has curl || install_packages curl
has mcopy || install_packages mtools
begin reset 21060

# Which lines of $SCRATCH/secrets stand on the disk, in order; holes are passed over.
found() {
    python3 - "$SCRATCH/disk" "$SCRATCH/secrets" <<'END'
import os, sys
secrets = [line.rstrip("\n") for line in open(sys.argv[2]) if line.strip()]
needles = {secret: [secret.encode()] for secret in secrets}
for secret in secrets:
    # Ids are kept as bytes, too, in the headers of journals.
    if len(secret) == 32 and all(c in "0123456789abcdef" for c in secret):
        needles[secret].append(bytes.fromhex(secret))
seen, overlap = set(), 256
with open(sys.argv[1], "rb") as disk:
    size, at = os.path.getsize(sys.argv[1]), 0
    while at < size:
        try:
            start = os.lseek(disk.fileno(), at, os.SEEK_DATA)
        except OSError:
            break
        end = os.lseek(disk.fileno(), start, os.SEEK_HOLE)
        while start < end:
            disk.seek(max(0, start - overlap))
            piece = disk.read(min(64 << 20, end - start) + overlap)
            for secret, forms in needles.items():
                if secret not in seen and any(form in piece for form in forms):
                    seen.add(secret)
            start += 64 << 20
        at = end
print("\n".join(secret for secret in secrets if secret in seen))
END
}

web=http://127.0.0.1:$((PORT_BASE + 2))
new_disk "$image" "$SCRATCH/disk"
start_machine "$SCRATCH/disk" uefi
wait_until 600 dashboard_answers >/dev/null || fail "the dashboard does not answer"
wait_until 120 inside true >/dev/null || fail "no way in with the provisioned key"

# Whether anybody answers as ssh does, within 60 s. QEMU takes the connection for the machine, whoever is behind it, so that alone says nothing.
answers_ssh() {
    python3 - "$PORT_BASE" <<'END'
import contextlib, socket, sys, time
until = time.monotonic() + 60
while (left := until - time.monotonic()) > 0:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=left) as door:
        if door.recv(64).startswith(b"SSH-2.0"):
            sys.exit(0)
    time.sleep(min(1, left))
sys.exit(1)
END
}
answers_ssh || fail "nobody answers at the port of ssh"

# The owner, as the console shows the way.
shows_code() {
    code=$(kafclaw_inside setup-code) && grep -aqF "this setup code: $code" "$SCRATCH/console"
}
wait_until 60 shows_code >/dev/null || fail "the console does not show the setup code"
# The beginning of each wrong try is what a stranger sees.
answer() {
    curl --silent --output "$SCRATCH/answer" --write-out '%{http_code} %{time_total}' --max-time 60 --header 'Content-Type: application/json' \
        --header "Origin: $web" --data "$2" "$web/api/v1/auth/$1"
}
case $(answer setup '{"code": "AAAA-AAAA", "password": "korrektes Pferd"}') in
401*) ;;
*) fail "a wrong code was not refused: $(cat "$SCRATCH/answer")" ;;
esac
set_up=$(answer setup "{\"code\": \"$code\", \"password\": \"korrektes Pferd\"}")
case $set_up in
200*) pass "the code on the console makes an owner (${set_up#* } s)" ;;
*) fail "the code is not taken: $(cat "$SCRATCH/answer")" ;;
esac
inside "journalctl --no-pager | grep -qF -e '$code' -e 'korrektes Pferd'" && fail "the code or the password stands in the journal"
pass "neither code nor password is in the journal"

kafclaw_inside 'memory remember "The stopcock is behind the washing-machine-of-aunt-Agathe."' >/dev/null
inside 'sync; echo 3 >/proc/sys/vm/drop_caches'
{
    echo washing-machine-of-aunt-Agathe
    echo 'secret\" at all'
    kafclaw_inside token
    inside "cut -d : -f 2 /var/lib/kafclaw/broker"
    inside "cat /persist/machine-id"
    inside "sed -n 3p /persist/ssh/ssh_host_ed25519_key"
    inside "sed -n 's/.*\"\(argon2id\|salt\|epoch\)\": *\"\(.*\)\".*/\2/p' /var/lib/kafclaw/.kafclaw/owner.json"
} | sed 's/\\"/"/g' >"$SCRATCH/secrets"
all=$(wc -l <"$SCRATCH/secrets")
[ "$(found | wc -l)" -eq "$all" ] || fail "the search finds $(found | wc -l) of $all secrets before the reset"
pass "the disk holds all $all planted secrets before"

# Taken from the boot partition at the first start; it must not even be in deleted files there.
printf '%s\n' 'secret\" at all' >>"$SCRATCH/secrets"
kafclaw_inside factory-reset --yes >&2 || fail "the reset is refused"
wait_until 600 grep -aq 'factory reset: overwriting' "$SCRATCH/console" >/dev/null || fail "the reset does not begin"
pull_plug
left=$(found | wc -l)
mv "$SCRATCH/console" "$SCRATCH/console.1"
# The other way: this time the disk forgets what it is told to.
start_machine "$SCRATCH/disk" uefi -set drive.disk.discard=unmap
took=$(wait_until 600 grep -aq 'factory reset: done' "$SCRATCH/console") || fail "the reset does not go on"
grep -aq 'factory reset: overwriting' "$SCRATCH/console" && fail "a disk that forgets was overwritten"
pass "cut short with $left secrets left, the reset went on by itself and was over $took s after power on"
took=$(wait_until 600 dashboard_answers) || fail "the dashboard does not answer after the reset"
has_owner() {
    curl --silent --max-time 20 "$web/api/v1/auth/owner" | grep -q "\"password_set\":$1"
}
# A code that is not the one of before.
shows_new_code() {
    new_code=$(tr -d '\r' <"$SCRATCH/console" | sed -n 's/.*this setup code: //p' | tail -n 1)
    [ -n "$new_code" ] && [ "$new_code" != "$code" ]
}
has_owner false || fail "there still is an owner"
wait_until 120 shows_new_code >/dev/null || fail "no new setup code on the console"
if answers_ssh; then fail "without a key somebody answers at the port of ssh"; fi
wait_until 30 dashboard_answers >/dev/null || fail "it does not answer at all"
pass "it is a new machine: no owner, another code, no way in, no ssh ($took s)"
record reset_dashboard_s "$took"
code=$new_code
case $(answer setup "{\"code\": \"$code\", \"password\": \"korrektes Pferd\"}") in
200*) ;;
*) fail "the new code is not taken: $(cat "$SCRATCH/answer")" ;;
esac
pull_plug
left=$(found)
[ -z "$left" ] || fail "on the disk are still: $left"
pass "nothing of what it was told is left on the disk"

# Before GRUB starts the system it listens for two seconds. F4 is pressed again and again, which means nothing to anybody else.
shows_menu() {
    tell_machine 'sendkey f4' && grep -aq 'Factory reset: forget' "$SCRATCH/console"
}
start_machine "$SCRATCH/disk" uefi -device qemu-xhci -device usb-kbd
wait_until 120 shows_menu >/dev/null || fail "GRUB shows no menu"
for key in down down down ret; do
    tell_machine "sendkey $key"
done
wait_until 600 grep -aq 'factory reset: done' "$SCRATCH/console" >/dev/null || fail "GRUB's entry resets nothing"
wait_until 600 dashboard_answers >/dev/null || fail "the dashboard does not answer after GRUB's reset"
has_owner false || fail "there still is an owner after GRUB's reset"
wait_until 120 shows_new_code >/dev/null || fail "no new setup code after GRUB's reset"
pass "whoever stands before it and presses keys in GRUB's menu makes it a new machine too"
