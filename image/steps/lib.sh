#!/bin/sh
# What the steps share: where Debian's packages come from, and how files get into the image.
# Read with `.`, of no use alone.
set -eu

# Where the key that signs updates is: not in the cache, which people clear.
KEYS=${XDG_DATA_HOME:-$HOME/.local/share}/kafclaw/update-keys

# Lines of an apt sources list: a mirror that keeps days (KAFCLAW_SNAPSHOT, with @ for the day), any mirror (KAFCLAW_MIRROR and,
# for security fixes, KAFCLAW_SECURITY_MIRROR), else the mirrors that this machine's own apt uses, else Debian's own.
debian_sources() {
    signed='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
    mirror=${KAFCLAW_MIRROR:-}
    security=${KAFCLAW_SECURITY_MIRROR:-}
    if [ -n "${KAFCLAW_SNAPSHOT:-}" ]; then
        mirror=$(echo "$KAFCLAW_SNAPSHOT" | sed "s|@|debian/$SNAPSHOT|")
        security=$(echo "$KAFCLAW_SNAPSHOT" | sed "s|@|debian-security/$SNAPSHOT|")
    fi
    if [ -n "$mirror" ]; then
        echo "deb $signed $mirror $SUITE main"
        [ -z "$security" ] || echo "deb $signed $security $SUITE-security main"
        return
    fi
    # shellcheck disable=SC2016 # Fields of apt's, not ours.
    found=$(apt-get indextargets 'Created-By: Packages' 'Origin: Debian' --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' |
        grep -E "^[^ ]+ $SUITE(-security|-updates)? main$" | sort -u | sed "s|^|deb $signed |")
    # Other systems than Debian know none.
    [ -n "$found" ] || found="deb $signed http://deb.debian.org/debian $SUITE main
deb $signed http://deb.debian.org/debian-security $SUITE-security main"
    echo "$found"
}

# Which packages are meant, in the names of what is kept of them: those of one day and one set of mirrors.
origin() {
    printf '%s-%s\n' "$SNAPSHOT" "$(debian_sources | sha256sum | cut -c 1-8)"
}

# apt for the board's architecture, with lists of its own; nothing of this machine's apt changes.
board_apt() {
    apt_home=$CACHE/apt
    mkdir -p "$apt_home/lists/partial" "$apt_home/archives/partial"
    debian_sources >"$apt_home/sources.list"
    : >"$apt_home/status"
    command=$1
    shift
    # Lists of a day that has passed are out of date by their own words.
    "$command" -q ${KAFCLAW_SNAPSHOT:+-o Acquire::Check-Valid-Until=false} -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
        -o Dir::State="$apt_home" -o Dir::State::status="$apt_home/status" -o Dir::Cache="$apt_home" -o Dir::Etc::sourcelist="$apt_home/sources.list" -o Dir::Etc::sourceparts=- \
        -o APT::Sandbox::User= -o DPkg::Post-Invoke::= -o APT::Update::Post-Invoke::= "$@"
}

# Asks the mirrors what they have.
update_lists() {
    board_apt apt-get update >&2
    origin >"$CACHE/apt/updated"
}

# Folder that the package $1 of the board's architecture is unpacked in, printed; fetched when it is not there.
unpacked() {
    place=$CACHE/packages/$1-$(origin)
    if [ ! -d "$place" ]; then
        # Lists of yesterday, or of other mirrors, do not say what there is.
        [ "$(find "$CACHE/apt/updated" -mtime -1 -exec cat {} + 2>/dev/null)" = "$(origin)" ] || update_lists
        rm -rf "$place.new"
        mkdir -p "$place.new/files"
        (cd "$place.new" && board_apt apt-get download "$1" >&2)
        dpkg-deb -x "$place.new/"*.deb "$place.new/files"
        dpkg-deb -f "$place.new/"*.deb Package Version Architecture Source >"$place.new/about"
        rm "$place.new/"*.deb
        mv "$place.new" "$place"
    fi
    echo "$place/files"
}

# The same, for a package of which something gets into the image: the bill of materials has it.
ingredient() {
    files=$(unpacked "$1")
    mkdir -p "$WORK/parts"
    cp "$files/../about" "$WORK/parts/$1"
    echo "$files"
}

# Lays the folder $1 over the folder $2, as files that belong to root and that a program or everybody may read.
overlay() {
    [ -d "$1" ] || return 0
    (cd "$1" && find . ! -name .gitkeep | LC_ALL=C sort) | while read -r name; do
        if [ -L "$1/$name" ]; then
            ln -sfn "$(readlink "$1/$name")" "$2/$name"
        elif [ -d "$1/$name" ]; then
            mkdir -p "$2/$name"
        elif [ -x "$1/$name" ]; then
            install -m 755 "$1/$name" "$2/$name"
        else
            install -m 644 "$1/$name" "$2/$name"
        fi
    done
}

# The lines of a list without comments, up to the first word.
listed() {
    sed 's/[ \t]*#.*//; /^$/d' "$1"
}

# A number that is the same on every machine, for ids of file systems and partitions: $1 says which.
fixed_uuid() {
    echo "$PRODUCT $BOARD $1" | sha256sum | sed 's/^\(.\{8\}\)\(.\{4\}\).\(.\{3\}\).\(.\{3\}\)\(.\{12\}\).*/\1-\2-4\3-8\4-\5/'
}

# File of ONNX Runtime for processors of the kind $1, printed; out of pip's wheel.
onnxruntime_for() {
    library=$CACHE/onnxruntime-$ONNXRUNTIME-$1.so
    if [ ! -e "$library" ]; then
        need_pip
        rm -rf "$library.new"
        python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.11 --implementation cp --abi cp311 \
            --platform "manylinux_2_27_$1" --platform "manylinux_2_28_$1" --dest "$library.new" "onnxruntime==$ONNXRUNTIME" >&2
        echo "$ONNXRUNTIME_SHA256  $(ls "$library.new"/*.whl)" | sha256sum --check --quiet >&2
        python3 -m zipfile -e "$library.new"/*.whl "$library.new"
        mv "$library.new/onnxruntime/capi/libonnxruntime.so.$ONNXRUNTIME" "$library"
        rm -rf "$library.new"
    fi
    echo "$library"
}

# File of the certificate that updates must be signed under, printed. Whoever hands out images names a real one (KAFCLAW_UPDATE_CA, and
# KAFCLAW_UPDATE_CERT and KAFCLAW_UPDATE_KEY to sign with); else this machine gets one of its own, once.
update_keyring() {
    if [ -n "${KAFCLAW_UPDATE_CA:-}" ]; then
        echo "$KAFCLAW_UPDATE_CA"
        return
    fi
    if [ ! -e "$KEYS/update.pem" ]; then
        rm -rf "$KEYS.new"
        mkdir -p "${KEYS%/*}"
        # Where it was before: there may be devices that know it.
        if [ -e "$CACHE/keys/update.pem" ]; then
            cp -Rp "$CACHE/keys" "$KEYS.new"
        else
            make_update_key "$KEYS.new"
        fi
        mv "$KEYS.new" "$KEYS"
        say "      The key that signs updates is in $KEYS: please keep a copy, for devices with this image take no updates signed by another."
    fi
    echo "$KEYS/update.pem"
}

# A key and its certificate, in the new folder $1.
make_update_key() {
    mkdir "$1"
    chmod 700 "$1"
    # Valid from a day that every clock has passed: devices without a network live in their image's past.
    (
        cd "$1"
        : >index
        cat >config <<END
[ca]
default_ca = own
[own]
database = index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = signer
[any]
commonName = supplied
[signer]
basicConstraints = critical,CA:TRUE
keyUsage = critical,digitalSignature,keyCertSign
END
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout update.key -subj "/CN=KafClaw updates of this builder" \
            -out request 2>/dev/null
        openssl ca -batch -config config -selfsign -keyfile update.key -in request -out update.pem -notext \
            -startdate 20200101000000Z -enddate 20600101000000Z 2>/dev/null
    )
}

# Makes the ext4 file $1 of $2 MiB with the label $3 out of the folder $4, with the options $5.
make_ext4() {
    E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH
    export E2FSPROGS_FAKE_TIME
    rm -f "$1"
    truncate -s "$2M" "$1"
    uuid=$(fixed_uuid "$3")
    # metadata_csum_seed and orphan_file are newer than what GRUB and U-Boot read.
    mke2fs -q -t ext4 -L "$3" -U "$uuid" -E "hash_seed=$uuid,root_owner=0:0,lazy_itable_init=0,nodiscard" -b 4096 \
        -O "$5,^metadata_csum_seed,^orphan_file" -m 0 -d "$4" "$1"
    # mke2fs takes over when files were changed and read here, which is now; inodes are given out in order.
    inodes=$(dumpe2fs -h "$1" 2>/dev/null | awk '/^Inode count:/ { all = $3 } /^Free inodes:/ { free = $3 } END { print all - free }')
    seq 11 "$inodes" | awk -v time="@$SOURCE_DATE_EPOCH" 'BEGIN { print "set_inode_field <2> atime " time "\nset_inode_field <2> ctime " time }
        { print "set_inode_field <" $1 "> atime " time "\nset_inode_field <" $1 "> ctime " time }' |
        debugfs -w -f - "$1" >/dev/null 2>&1
}
