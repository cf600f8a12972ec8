# Sourced by the scripts beside it: what they have in common. It changes into the repository, so that they run from any
# directory, and makes a directory for their work, which goes with them at whatever end.
set -euo pipefail

script="$(basename "$0")"
called_from="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."


# A tool that is missing fails nobody, and is said loudly; scripts/prove and .ci/run look for this line.
skip() {
    echo "!!! SKIPPED: scripts/faults/$script: $*"
    is_finished=yes
    exit 0
}

needs() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
}

needs_root() {
    [[ $EUID -eq 0 ]] || skip "only root may mount file systems"
}

# Builds what is run, unless it is named: ANNALS_BIN the command line, BUSY_BIN the example `busy`.
build_annals() {
    [[ -n "${ANNALS_BIN:-}" ]] || cargo build --release --quiet
    annals="$(absolute "${ANNALS_BIN:-${CARGO_TARGET_DIR:-target}/release/annals}")"
}

build_busy() {
    [[ -n "${BUSY_BIN:-}" ]] || cargo build --release --quiet --example busy
    busy="$(absolute "${BUSY_BIN:-${CARGO_TARGET_DIR:-target}/release/examples/busy}")"
}

absolute() {
    if [[ "$1" != /* && ! -x "$1" ]]; then
        realpath "$called_from/$1"
    else
        realpath "$1"
    fi
}

work="$(mktemp -d "${TMPDIR:-/tmp}/annals-$script.XXXXXX")"
mounted=()
loops=()
children=()

clean_up() {
    local status=$? index
    set +e
    # What no check has called a violation is a fault of the script or of its surroundings, and no success.
    [[ -n "${is_finished:-}" ]] || echo "$script: ended early with $status, after $SECONDS s" >&2
    for index in "${!children[@]}"; do
        kill -KILL "${children[index]}" 2>/dev/null
        wait "${children[index]}" 2>/dev/null
    done
    for ((index = ${#mounted[@]} - 1; index >= 0; index--)); do
        mountpoint -q "${mounted[index]}" && { umount "${mounted[index]}" || umount -l "${mounted[index]}"; } 2>/dev/null
    done
    for ((index = ${#loops[@]} - 1; index >= 0; index--)); do
        losetup -d "${loops[index]}" 2>/dev/null
    done
    if [[ -n "${keep:-}" ]]; then
        echo "what was found is left in $work" >&2
    else
        rm -rf "$work"
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Numbers at random that are the same for the same seed: `random BOUND` leaves one in $drawn.
random() {
    dice=$(((dice * 6364136223846793005 + 1442695040888963407) & 0x7fffffffffffffff))
    drawn=$(((dice >> 24) % $1))
}

export RUST_BACKTRACE=0
violations=0
# Says what is wrong, goes on, and makes the script end with 1; what was worked on is kept.
violation() {
    violations=$((violations + 1))
    keep=yes
    echo "VIOLATION $*" >&2
}

# A file system on a loop device: `loop_mount IMAGE DIRECTORY`.
loop_mount() {
    local device
    device="$(losetup -f --show "$1")"
    loops+=("$device")
    mount -o noatime "$device" "$2"
    mounted+=("$2")
}

loop_unmount() {
    # A process that was killed lets go a moment later.
    local attempt
    for attempt in {1..50}; do
        if umount "$2" 2>/dev/null; then break; fi
        sleep 0.1
    done
    if mountpoint -q "$2"; then
        echo "$script: $2 stays busy" >&2
        exit 2
    fi
    local device="${loops[-1]}"
    losetup -d "$device"
    unset 'loops[-1]' 'mounted[-1]'
}

finish() {
    is_finished=yes
    echo "$script: $*, $violations violations, $SECONDS s"
    [[ $violations -eq 0 ]]
    exit $?
}
