# Installs what is missing on a bare Debian with a Swift toolchain. Sourced by the other scripts.
#
# Only what is not there is installed, so that nothing is asked of the network, or of root, twice.
# A cluster that Debian's PostgreSQL package may start is neither used nor touched.

say() { printf '== %s\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "root is needed for: $*"
    fi
}

has_initdb() {
    command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

has_library() {
    command -v pkg-config >/dev/null && pkg-config --exists "$1"
}

venv=.build-venv

# The Python packages of the tests and benches, in a folder of their own.
python_packages() {
    local wanted=Tests/acceptance/requirements.txt
    cmp -s "$wanted" "$venv/installed.txt" && return
    python3 -m venv --clear "$venv" &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" >&2 &&
        cp "$wanted" "$venv/installed.txt"
}

# prepare build: what building and running needs; test, bench, queue, soak: what those need besides.
prepare() {
    local missing=()
    command -v swift >/dev/null || die "a Swift toolchain is needed (6.2 or later, https://swift.org/install)"
    command -v git >/dev/null || missing+=(git ca-certificates)
    command -v pkg-config >/dev/null || missing+=(pkg-config)
    has_library libpq || missing+=(libpq-dev)
    has_library libcrypto || missing+=(libssl-dev)
    has_library zlib || missing+=(zlib1g-dev)
    has_library libzip || missing+=(libzip-dev)
    has_initdb || missing+=(postgresql)
    if [ "$1" = test ]; then
        command -v curl >/dev/null || missing+=(curl ca-certificates)
        command -v 7z >/dev/null || missing+=(p7zip-full)
        # Faults between the server and the C library.
        command -v fiu-ctrl >/dev/null || missing+=(fiu-utils)
        command -v eatmydata >/dev/null || missing+=(eatmydata)
        command -v mkfs.ext4 >/dev/null || [ -x /usr/sbin/mkfs.ext4 ] || missing+=(e2fsprogs)
        # A page's requests to another origin.
        command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null ||
            command -v google-chrome >/dev/null || missing+=(chromium-headless-shell)
    fi
    # Phone networks, which root alone can have.
    if [ "$1" = test ] || [ "$1" = soak ] && [ "$(id -u)" -eq 0 ]; then
        command -v ip >/dev/null && command -v tc >/dev/null || missing+=(iproute2)
        command -v openssl >/dev/null || missing+=(openssl)
    fi
    if [ "$1" = queue ]; then
        command -v cc >/dev/null || missing+=(gcc libc6-dev)
        command -v beanstalkd >/dev/null || missing+=(beanstalkd)
    fi
    if [ "$1" = test ] || [ "$1" = bench ] || [ "$1" = queue ]; then
        python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
    fi
    [ "${#missing[@]}" -eq 0 ] && return
    command -v apt-get >/dev/null || die "not a Debian; please install the like of: ${missing[*]}"
    say "installing ${missing[*]}"
    as_root apt-get update -q >&2 || die "apt-get update failed"
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 ||
        die "apt-get install failed: ${missing[*]}"
}
