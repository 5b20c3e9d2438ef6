#!/bin/sh
# Makes an empty disk with a FAT file system. Usage: disk.sh FILE [MIB]
#
# A file that is there already is left alone: what the system wrote on its disk
# is kept from one boot to the next. Remove the file for an empty one.
set -eu
file=$1 mib=${2:-16}
[ ! -e "$file" ] || exit 0
PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$(dirname "$file")"
rm -f "$file.new"
truncate -s "${mib}M" "$file.new"
mkfs.fat -n STRAIT "$file.new" >/dev/null
mv "$file.new" "$file"
