#!/bin/sh
# Builds the seL4 image, build/loader.img. Called by `make image`, which has
# made what the regions are filled with. Of another system, if the environment
# says so: SYSTEM, its description; SEARCH, where its files are first looked
# for; IMAGE, where the image goes.
set -eu
cd "$(dirname "$0")/.."
board=${MICROKIT_BOARD:-qemu_virt_aarch64} config=${MICROKIT_CONFIG:-debug}
system=${SYSTEM:-microkit.system} search=${SEARCH:-build} image=${IMAGE:-build/loader.img}

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

if ! MICROKIT_SDK="$sdk" "$sdk/bin/microkit" "$system" --search-path "$search" build build/elf --board "$board" --config "$config" \
    --output "$image" --report "${image%/*}/report.txt" >build/microkit.log 2>&1; then
    cat build/microkit.log >&2
    exit 1
fi
echo "$image: $board, $config, $(($(wc -c <"$image") / 1024)) KiB"
