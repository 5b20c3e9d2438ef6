#!/bin/sh
# Gets what is missing on this machine. Usage: setup.sh GROUP...
#
#   host   what every build needs: a C compiler to link with, Rust
#   disk   what makes the disk: mkfs.fat
#   net    the hosted world's network: ip
#   test   what the system tests call: curl, dnsmasq, pytest, mcopy
#   sel4   the seL4 image: QEMU, libclang, the Rust target
#
# On Debian and Ubuntu the packages are installed with apt, by sudo if need be;
# elsewhere their names are said. Ends with status 1 if something stays missing.
set -u
cd "$(dirname "$0")/.." || exit 1

packages=
missing=
# want WHAT PACKAGE COMMAND...: PACKAGE is missing if COMMAND fails.
want() {
    what=$1 package=$2
    shift 2
    if ! "$@" >/dev/null 2>&1; then
        missing="$missing${missing:+, }$what"
        packages="$packages $package"
    fi
}
has() { command -v "$1"; }
has_ip() { PATH=$PATH:/usr/sbin:/sbin has ip; }
has_dnsmasq() { PATH=$PATH:/usr/sbin:/sbin has dnsmasq; }
has_mkfs() { PATH=$PATH:/usr/sbin:/sbin has mkfs.fat; }
has_pytest() { python3 -c 'import pytest' || /usr/bin/python3 -c 'import pytest'; }
has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] || find /usr/lib /usr/lib64 /usr/local/lib /opt/homebrew/opt/llvm/lib \
        -name 'libclang.so*' -o -name 'libclang-*.so*' -o -name libclang.dylib 2>/dev/null | grep -q .
}
survey() {
    packages= missing=
    for group; do
        case $group in
        host) want 'a C compiler' gcc has cc; want 'the C library headers' libc6-dev test -e /usr/include/stdio.h -o "$(uname)" = Darwin ;;
        disk) want mkfs.fat dosfstools has_mkfs ;;
        net) [ "$(uname)" != Linux ] || want ip iproute2 has_ip ;;
        test)
            want curl curl has curl
            want dnsmasq dnsmasq-base has_dnsmasq
            want mcopy mtools has mcopy
            want pytest python3-pytest has_pytest
            ;;
        sel4)
            want qemu-system-aarch64 qemu-system-arm has qemu-system-aarch64
            want libclang libclang-dev has_libclang
            ;;
        *) echo "setup.sh: there is no group $group" >&2; exit 1 ;;
        esac
    done
}

survey "$@"
if [ -n "$packages" ] && command -v apt-get >/dev/null; then
    root= log=$(mktemp)
    [ "$(id -u)" = 0 ] || root='sudo -E'
    echo "Installing:$packages" >&2
    install() {
        # shellcheck disable=SC2086 # one word for each package
        DEBIAN_FRONTEND=noninteractive $root apt-get install -y -q --no-install-recommends $packages
    }
    # The package lists may be missing or old.
    { install || { $root apt-get update -q && install; }; } </dev/null >"$log" 2>&1
    survey "$@"
    if [ -n "$packages" ]; then
        tail -n 3 "$log" >&2
    fi
    rm -f "$log"
fi
if [ -n "$packages" ]; then
    echo "missing: $missing (Debian and Ubuntu packages:$packages)" >&2
    exit 1
fi

if ! command -v cargo >/dev/null; then
    echo "missing: Rust; install it from https://rustup.rs, then open a new terminal" >&2
    exit 1
fi
case " $* " in *" sel4 "*)
    target=$(sed -n 's/^target = "\(.*\)"/\1/p' sel4/.cargo/config.toml)
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
        if ! { command -v rustup && rustup target add "$target"; } >/dev/null 2>&1; then
            echo "missing: the Rust target $target; get it with: rustup target add $target" >&2
            exit 1
        fi
    fi
    ;;
esac
