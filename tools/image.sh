#!/bin/sh
# Builds the seL4 image, build/loader.img. Called by `make image`, which has
# made what the regions are filled with.
set -eu
cd "$(dirname "$0")/.."
board=${MICROKIT_BOARD:-qemu_virt_aarch64} config=${MICROKIT_CONFIG:-debug}

world=$(python3 tools/world.py decide --sel4)
sdk=${world#sel4 }
target=$(sed -n 's/^target = "\(.*\)"/\1/p' sel4/.cargo/config.toml)
out=build/sel4/$config

# In sel4/, whose .cargo/config.toml says how its programs are built.
(cd sel4 && SEL4_INCLUDE_DIRS="$sdk/board/$board/$config/include" cargo build --release --target-dir "../$out")

# Microkit's programs are called NAME.elf; only those of this build count.
rm -rf build/elf
mkdir -p build/elf
for program in "$out/$target/release"/*; do
    case ${program##*/} in *.*) ;; *) [ ! -f "$program" ] || cp "$program" "build/elf/${program##*/}.elf" ;; esac
done

if ! MICROKIT_SDK="$sdk" "$sdk/bin/microkit" microkit.system --search-path build build/elf --board "$board" --config "$config" \
    --output build/loader.img --report build/report.txt >build/microkit.log 2>&1; then
    cat build/microkit.log >&2
    exit 1
fi
echo "build/loader.img: $board, $config, $(($(wc -c <build/loader.img) / 1024)) KiB"
