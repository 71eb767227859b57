#!/bin/sh
# What the other scripts need on this machine: read by them with `.`, of no use alone.
# Installs Debian and Ubuntu packages and Rust, but only what is missing; a second call is free.
set -eu

# Where builds are kept: out of the clone, so that a fresh clone builds in seconds where another one was built before.
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/kafclaw/target}
export CARGO_TARGET_DIR
# Debian keeps brokers in /usr/sbin, rustup keeps cargo below the home.
PATH=$PATH:/usr/sbin:${CARGO_HOME:-$HOME/.cargo}/bin
export PATH

say() {
    printf '%s\n' "$*" >&2
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# Installs the named packages.
install_packages() {
    if ! has apt-get; then
        say "Please install what Debian calls: $*"
        exit 1
    fi
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        if ! has sudo; then
            say "Please run as root: apt-get install $*"
            exit 1
        fi
        as_root=sudo
    fi
    say "Installing $* ..."
    # The lists of a bare machine are empty or old; one update and a second try is cheaper than an update each time.
    set -- env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=600 "$@"
    # shellcheck disable=SC2086 # Nothing, or the one word sudo.
    $as_root "$@" >&2 || { $as_root apt-get update -q >&2 && $as_root "$@" >&2; }
}

# A C compiler for SQLite, ring and Opus (with cmake), libsystemd for the service.
need_build() {
    missing=
    has cc || missing="$missing build-essential"
    has cmake || missing="$missing cmake"
    has pkg-config || missing="$missing pkg-config"
    { has pkg-config && pkg-config --exists libsystemd; } || missing="$missing libsystemd-dev"
    if ! has cargo && ! has curl; then
        missing="$missing ca-certificates curl"
    fi
    # shellcheck disable=SC2086 # A list of words.
    [ -z "$missing" ] || install_packages $missing
    if ! has cargo; then
        say "Rust is missing; installing it below $HOME with rustup (https://rustup.rs) ..."
        curl --proto '=https' --tlsv1.2 -fsS https://sh.rustup.rs |
            sh -s -- -y --no-modify-path --profile minimal -c clippy -c rustfmt >&2 ||
            { say "Please install Rust from https://rustup.rs and try again."; exit 1; }
    fi
    # What C is compiled with (.cargo/config.toml) lies beside what was compiled, so that a clone elsewhere need not compile it again.
    settings=$CARGO_TARGET_DIR/settings-$(cat .cargo/configure-openssl .cargo/include/*/* | sha256sum | cut -c 1-8)
    if [ ! -d "$settings" ]; then
        mkdir -p "$settings.new"
        cp -R .cargo/configure-openssl .cargo/include "$settings.new"
        mv "$settings.new" "$settings"
    fi
    C_INCLUDE_PATH=$settings/include
    OPENSSL_SRC_PERL=$settings/configure-openssl
    export C_INCLUDE_PATH OPENSSL_SRC_PERL
}

# Python's pip, which carries libraries and tools that Debian does not have.
need_pip() {
    { has python3 && python3 -m pip --version >/dev/null 2>&1; } || install_packages python3 python3-pip
}

# Rust's own library for the machine $1, such as aarch64-unknown-linux-gnu.
need_rust_for() {
    [ ! -d "$(rustc --print sysroot)/lib/rustlib/$1" ] || return 0
    has rustup || { say "Please install Rust's library for $1 and try again."; exit 1; }
    rustup target add "$1" >&2
}

# Zig, a C compiler and linker for other machines and for old C libraries, and cargo-zigbuild, which has cargo use it: out of pip's
# wheels, into the cache; ZIG is their folder afterwards, and cargo knows `zigbuild`.
need_zig() {
    zig_version=0.15.2
    zigbuild_version=0.24.0
    ZIG=${XDG_CACHE_HOME:-$HOME/.cache}/kafclaw/zig-$zig_version-$zigbuild_version
    CARGO_ZIGBUILD_ZIG_PATH=$ZIG/ziglang/zig
    PATH=$PATH:$ZIG/bin
    export PATH ZIG CARGO_ZIGBUILD_ZIG_PATH
    [ ! -d "$ZIG" ] || return 0
    need_pip
    say "Fetching Zig $zig_version and cargo-zigbuild $zigbuild_version ..."
    rm -rf "$ZIG.new"
    mkdir -p "$ZIG.new"
    cat >"$ZIG.new/pins" <<END
ziglang==$zig_version \\
    --hash=sha256:806316453d1ede7174ed3fefb8e5348154629089c3bb5fe812dfd0e172fac130 \\
    --hash=sha256:edc0aa60ec964a4cf462d40f68d7de242ddf37fd9a80f2afaee6397059463230
cargo-zigbuild==$zigbuild_version \\
    --hash=sha256:484412e39e4c6039474535ce97ee75a22bab22d58233056f8ec8a8f9034bb957 \\
    --hash=sha256:6942e4320f7b05d8fb29e0a8ce5670bcbb3d254275100b85b5b7c86552f9a744
END
    python3 -m pip install --quiet --no-deps --only-binary :all: --require-hashes --no-warn-script-location \
        --target "$ZIG.new" --requirement "$ZIG.new/pins" >&2 ||
        { say "Please install Zig $zig_version and cargo-zigbuild $zigbuild_version, and let the PATH name both."; exit 1; }
    mv "$ZIG.new" "$ZIG"
}

# CUDA as the boards with NVIDIA's Orin have it, out of pip's wheels into the cache: a compiler for this machine, and libraries for the board;
# CUDA_KIT is their folder afterwards. They are NVIDIA's: something to build with, not to hand on. No wheel has the driver's own library.
need_cuda() {
    cuda_version=13.2
    CUDA_KIT=${XDG_CACHE_HOME:-$HOME/.cache}/kafclaw/cuda-$cuda_version
    export CUDA_KIT
    [ ! -d "$CUDA_KIT" ] || return 0
    [ "$(uname -m)" = x86_64 ] || { say "The compiler of CUDA that is fetched here runs on x86-64: please use such a machine."; exit 1; }
    need_pip
    say "Fetching CUDA $cuda_version under NVIDIA's license: 0.7 GB, 1.2 GB when it is unpacked ..."
    rm -rf "$CUDA_KIT.new"
    cuda_part compiler <<END
nvidia-cuda-nvcc==13.2.78 --hash=sha256:c3bd144dd9b6b25e062589acb7bbd43d93d3120c72fad71da808f9817aba1239
nvidia-nvvm==13.2.78 --hash=sha256:f5aa433631109bbdec81802c5b5f319bf10bc891fe2f212e4e445845211d6f77
nvidia-cuda-crt==13.2.78 --hash=sha256:2c8615ee30ed466cb6298ecb8ffe9e6ea8b252ca833206152d155750bf831608
nvidia-cuda-runtime==13.2.75 --hash=sha256:72bf454902da594e0b833cadeddc8b7100ce1c7cf7ed9023943931be1aa913b7
nvidia-cuda-cccl==13.2.75 --hash=sha256:11a2b1948e8709805a0ccf04441baf5279a9219c13eb11dc13d57bb023151768
END
    cuda_part libraries --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 <<END
nvidia-cublas==13.4.0.1 --hash=sha256:705d7d214fbb20f134415ecadc488abf74f444c155a6555dec5687404afb18a9
nvidia-curand==10.4.2.55 --hash=sha256:342e40ddcaedc92aedc72839e0c10064096fceea2f1d0eb57951f86d2901f8c0
nvidia-cuda-nvrtc==13.2.78 --hash=sha256:a50367a7e2a0bd00fb27e5648179149cc7a60e7c7811740a5ff559f06234526d
nvidia-cuda-runtime==13.2.75 --hash=sha256:36e539e8deb01568025830c1454216c26ef4b4529507220b1d8ef739bf5c6439
END
    # Unpacked files say nothing about what may be run, and libraries have the names that programs ask for; linkers ask for shorter ones.
    chmod +x "$CUDA_KIT.new"/compiler/bin/* "$CUDA_KIT.new"/compiler/nvvm/bin/*
    for library in "$CUDA_KIT.new"/libraries/lib/lib*.so.*; do
        library=${library##*/}
        ln -s "$library" "$CUDA_KIT.new/libraries/lib/${library%%.so*}.so"
    done
    mv "$CUDA_KIT.new" "$CUDA_KIT"
}

# Unpacks the wheels that standard input pins into $CUDA_KIT.new/$1; the other arguments are pip's.
cuda_part() {
    part=$CUDA_KIT.new/$1
    shift
    mkdir -p "$part.wheels"
    cat >"$part.wheels/pins"
    # What is unpacked is kept; pip need not keep it as well.
    python3 -m pip download --no-cache-dir --no-deps --only-binary :all: --require-hashes "$@" --dest "$part.wheels" --requirement "$part.wheels/pins" >&2 ||
        { say "Please try again where pip can fetch NVIDIA's wheels."; exit 1; }
    for wheel in "$part.wheels"/*.whl; do
        python3 -m zipfile -e "$wheel" "$part.wheels/all"
    done
    mv "$part.wheels/all/nvidia/cu13" "$part"
    rm -r "$part.wheels"
}

# What scripts/image.sh works with. None of it mounts anything.
need_image() {
    missing=
    for pair in mmdebstrap:mmdebstrap arch-test:arch-test mcopy:mtools sgdisk:gdisk mkfs.vfat:dosfstools mke2fs:e2fsprogs grub-mkimage:grub-common \
        grub-editenv:grub-common rauc:rauc mksquashfs:squashfs-tools bmaptool:bmap-tools cpio:cpio depmod:kmod zstd:zstd \
        systemd-sysusers:systemd openssl:openssl python3:python3; do
        has "${pair%:*}" || missing="$missing ${pair#*:}"
    done
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
    [ "$(id -u)" -eq 0 ] || has newuidmap || missing="$missing uidmap"
    # shellcheck disable=SC2086 # A list of words.
    [ -z "$missing" ] || install_packages $missing
}

# Programs for ARM run here as if they were this machine's: the kernel is told once, until the next start.
need_emulation() {
    [ "$(uname -m)" != aarch64 ] || return 0
    [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] || return 0
    has qemu-aarch64-static || install_packages qemu-user-static
    [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] || return 0
    as_root=
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    say "Telling the kernel about programs for ARM ..."
    # shellcheck disable=SC2086 # Nothing, or the one word sudo.
    { [ -e /proc/sys/fs/binfmt_misc/register ] || $as_root mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; } &&
        $as_root sh -c 'cat /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register' ||
        { say "Please let binfmt_misc run programs for ARM with qemu-aarch64-static."; exit 1; }
}

# A whole ARM machine in software, with both kinds of firmware.
need_machine() {
    { has qemu-system-aarch64 && [ -e /usr/share/AAVMF/AAVMF_CODE.fd ] && [ -e /usr/lib/u-boot/qemu_arm64/u-boot.bin ]; } ||
        install_packages qemu-system-arm qemu-efi-aarch64 ipxe-qemu u-boot-qemu
    has ssh || install_packages openssh-client
}

need_broker() {
    has mosquitto || install_packages mosquitto mosquitto-clients
}

need_browser() {
    { has chromium && has chromedriver; } || install_packages chromium chromium-driver
}

# ONNX Runtime's library, which embeddings are computed with: out of pip's wheel, into the cache; ORT_DYLIB_PATH names it afterwards.
# 1.27.0 is the last whose wheels run with glibc 2.27, on x64 and arm64.
need_onnxruntime() {
    version=1.27.0
    place=${XDG_CACHE_HOME:-$HOME/.cache}/kafclaw/onnxruntime-$version
    ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$place/libonnxruntime.so}
    export ORT_DYLIB_PATH
    [ ! -e "$ORT_DYLIB_PATH" ] || return 0
    need_pip
    say "Fetching ONNX Runtime $version ..."
    machine=$(uname -m)
    rm -rf "$place.new"
    mkdir -p "$place.new"
    # The library is the same in the wheels of all Pythons, so the machine's own does not matter.
    python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.11 --implementation cp --abi cp311 \
        --platform "manylinux_2_27_$machine" --platform "manylinux_2_28_$machine" \
        --dest "$place.new" "onnxruntime==$version" >&2 ||
        { say "Please fetch ONNX Runtime $version and let ORT_DYLIB_PATH name its libonnxruntime.so."; exit 1; }
    python3 -m zipfile -e "$place.new"/onnxruntime-*.whl "$place.new"
    mkdir -p "${ORT_DYLIB_PATH%/*}"
    mv "$place.new/onnxruntime/capi/libonnxruntime.so.$version" "$ORT_DYLIB_PATH"
    rm -rf "$place.new"
}

# Cables that tests pull, which are network namespaces. `with_cables` runs a command where they may be laid: here, or, for who may not, as root of
# a network of its own, from which nothing leads out.
need_cables() {
    has ip || install_packages iproute2
    probe=kafclaw-probe-$$
    if ip netns add $probe 2>/dev/null; then
        ip netns del $probe
        may_lay_cables=yes
        return
    fi
    may_lay_cables=
    with_cables true || { say "Some tests pull network cables. Please run this as root, or where user and network namespaces are allowed."; exit 1; }
}

with_cables() {
    if [ -n "$may_lay_cables" ]; then
        "$@"
    else
        # shellcheck disable=SC2016 # For the shell inside.
        unshare --map-root-user --net --mount sh -c 'mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && "$@"' sh "$@"
    fi
}

# Room for $1 GiB where builds and the cache are; what was built before is counted in.
need_room() {
    mkdir -p "$CARGO_TARGET_DIR"
    [ ! -d "$CARGO_TARGET_DIR/debug" ] || return 0
    free=$(df -Pk "$CARGO_TARGET_DIR" | awk 'NR == 2 { print int($4 / 1048576) }')
    [ "$free" -ge "$1" ] || { say "A first run needs $1 GiB in $CARGO_TARGET_DIR, and $free are free: please make room, or let CARGO_TARGET_DIR name another place."; exit 1; }
}

# Apache Kafka's jars and a Java that runs them, into the cache; KAFCLAW_KAFKA_JARS names the folder afterwards.
need_kafka() {
    kafka_version=4.1.1
    KAFCLAW_KAFKA_JARS=${KAFCLAW_KAFKA_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/kafclaw/kafka-$kafka_version}
    export KAFCLAW_KAFKA_JARS
    has openssl || install_packages openssl
    # Kafka 4 wants Java 17 at least; which one there is depends on the system's age.
    java_runs_kafka || install_packages openjdk-17-jre-headless || install_packages openjdk-21-jre-headless
    java_runs_kafka || { say "Please install Java 17 or later and try again."; exit 1; }
    [ ! -d "$KAFCLAW_KAFKA_JARS" ] || return 0
    has mvn || install_packages maven
    say "Fetching Apache Kafka $kafka_version ..."
    rm -rf "$KAFCLAW_KAFKA_JARS.new"
    mkdir -p "$KAFCLAW_KAFKA_JARS.new"
    cat >"$KAFCLAW_KAFKA_JARS.new/pom.xml" <<END
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>kafclaw</groupId>
  <artifactId>broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka_version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
END
    mvn --batch-mode --quiet --file "$KAFCLAW_KAFKA_JARS.new/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$KAFCLAW_KAFKA_JARS.new" >&2 ||
        { say "Please fetch Apache Kafka $kafka_version and let KAFCLAW_KAFKA_JARS name the folder of its jars."; exit 1; }
    mv "$KAFCLAW_KAFKA_JARS.new" "$KAFCLAW_KAFKA_JARS"
}

# Members of a group that share no code with this program: kcat, and a Python with confluent-kafka in the cache, which
# KAFCLAW_PEER_PYTHON names afterwards.
need_foreign_peers() {
    confluent_version=2.16.1
    place=${XDG_CACHE_HOME:-$HOME/.cache}/kafclaw/confluent-kafka-$confluent_version
    KAFCLAW_PEER_PYTHON=${KAFCLAW_PEER_PYTHON:-$place/bin/python}
    export KAFCLAW_PEER_PYTHON
    # Older systems have it under its first name only.
    { has kcat || has kafkacat; } || install_packages kcat || install_packages kafkacat
    [ ! -x "$KAFCLAW_PEER_PYTHON" ] || return 0
    { has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; } || install_packages python3 python3-venv
    say "Fetching confluent-kafka $confluent_version ..."
    rm -rf "$place.new"
    { python3 -m venv "$place.new" &&
        "$place.new/bin/python" -m pip install --quiet --only-binary :all: "confluent-kafka==$confluent_version" >&2; } ||
        { say "Please let KAFCLAW_PEER_PYTHON name a Python that has confluent-kafka."; exit 1; }
    mv "$place.new" "$place"
}

java_runs_kafka() {
    has java && java -version 2>&1 |
        awk -F '[".]' '/version/ { found = ($2 >= 17) } END { exit !found }'
}
