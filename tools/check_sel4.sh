#!/bin/sh
# Format and lints of sel4/, where what it is built with can be had.
set -eu
cd "$(dirname "$0")/.."
(cd sel4 && cargo fmt --all --check)
world=$(python3 tools/world.py decide)
case $world in
hosted*)
    echo "SKIPPED: clippy of sel4/, because ${world#hosted }"
    exit
    ;;
esac
config=${MICROKIT_CONFIG:-debug}
export SEL4_INCLUDE_DIRS="${world#sel4 }/board/${MICROKIT_BOARD:-qemu_virt_aarch64}/$config/include"
cd sel4 && cargo clippy --locked --release --target-dir "../build/sel4/$config" -- -D warnings
