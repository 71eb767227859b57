#!/bin/sh
# Runs a part of the integration tests with the program for ARM in $1 on this machine, for who built it: as a Cortex-A57 (the oldest board's
# processor), with Debian's libraries of that kind. Real programs are at the other end, as in `scripts/test.sh`; only the program is emulated.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
. tests/image/recipe.sh

# What each board must do: switch a lamp, remember by meaning (ONNX Runtime, vectors), keep its database, hear a group (librdkafka), end in order.
tests='
lamp::
memory::facts_come_back_in_other_words_after_a_restart
disk::a_database_that_is_none_is_kept_aside_and_reported
group::a_hub_asks_another_one_in_a_sentence
openai::the_assistant_is_a_model_that_openais_clients_can_ask
service::sigterm_ends_it_in_order_and_in_time
service::a_home_has_one_gateway
'

has qemu-aarch64-static || install_packages qemu-user-static
program=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

libraries=$(tests/image/libraries.sh)
library=$(onnxruntime_for aarch64)
# As on a device: models beside the program.
mkdir "$scratch/bin"
cp "$program" "$scratch/bin/kafclaw"
ln -s "$PWD/models" "$scratch/bin/models"
# It becomes the emulator, so that the process that tests watch and end is the program.
cat >"$scratch/kafclaw" <<END
#!/bin/sh
exec env ORT_DYLIB_PATH="$library" qemu-aarch64-static -cpu cortex-a57 -L "$libraries" "$scratch/bin/kafclaw" "\$@"
END
chmod +x "$scratch/kafclaw"

"$scratch/kafclaw" version | grep -q 'KafClaw Edge' || { say "FAIL the program does not start under emulation"; exit 1; }
# shellcheck disable=SC2086 # A list of words.
KAFCLAW_TEST_PROGRAM=$scratch/kafclaw scripts/test.sh --test it -- $tests >"$scratch/said" 2>&1 || { cat "$scratch/said" >&2; exit 1; }
# Names that are in no test any more would pass without having run.
for name in $tests; do
    grep -q "^test $name.*ok$" "$scratch/said" || { say "FAIL no test is called $name"; exit 1; }
done
say "ok   under emulation: $(grep '^test result' "$scratch/said")"
