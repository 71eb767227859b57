#!/bin/sh
# Makes the small recordings of tests/fixtures/audio again, for who changes them; needs ffmpeg, sox and espeak-ng.
# Half a second of 1 kHz in every format, and one spoken sentence between silences.
set -eu

cd "$(dirname "$0")/../tests/fixtures/audio"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

quiet="ffmpeg -hide_banner -loglevel error -y -bitexact"
sox -n -r 44100 -c 2 -b 16 "$work/tone.wav" synth 0.5 sine 1000 gain -6
sox -n -r 48000 -c 2 -b 16 "$work/tone48.wav" synth 0.5 sine 1000 gain -6
$quiet -i "$work/tone.wav" -ac 1 -ar 22050 -c:a flac tone.flac
$quiet -i "$work/tone.wav" -c:a libmp3lame -b:a 48k -id3v2_version 3 -metadata title=tone tone.mp3
$quiet -i "$work/tone.wav" -c:a libvorbis -q:a 0 tone.ogg
$quiet -i "$work/tone48.wav" -c:a libopus -b:a 24k tone.opus
# As Chromium's and Firefox's MediaRecorder write: live, without lengths and without an index.
$quiet -i "$work/tone48.wav" -c:a libopus -b:a 24k -f webm -live 1 -dash 1 tone.webm
$quiet -i "$work/tone.wav" -c:a aac -b:a 48k tone.m4a
# As Safari's MediaRecorder writes: in fragments.
$quiet -i "$work/tone.wav" -c:a aac -b:a 48k -movflags frag_keyframe+empty_moov+default_base_moof tone-fragmented.mp4
$quiet -i "$work/tone.wav" -c:a aac -b:a 48k -f adts tone.aac
$quiet -i "$work/tone.wav" -ac 1 -ar 8000 -c:a adpcm_ima_wav tone-ima.wav
$quiet -i "$work/tone.wav" -ac 1 -ar 8000 -c:a adpcm_ms tone-ms.wav

espeak-ng -v en -s 150 -w "$work/speech.wav" "Turn on the lamp in the kitchen."
sox "$work/speech.wav" -r 16000 -c 1 -b 16 "$work/padded.wav" gain -n -6 pad 1.0 1.5
$quiet -i "$work/padded.wav" -c:a libopus -b:a 16k speech.opus
ls -l
