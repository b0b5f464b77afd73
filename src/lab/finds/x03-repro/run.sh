#!/usr/bin/env bash
# run.sh KERNEL_TREE [x03mod.ko|-] [seconds]: boots an unpacked linux-image package under QEMU TCG and prints the lines of results.
#   X03_INIT   the static init that make builds (default: out/x03 beside this script)
#   X03_WORK   a scratch folder (default: a fresh one)
#   X03_MODS   more modules to load; X03_QEMU, X03_CMD, X03_CPU: options of QEMU, of the kernel, the CPU model
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$1 module=${2:--} seconds=${3:-420}
init=${X03_INIT:-$here/out/x03}
work=${X03_WORK:-$(mktemp -d)}

# The files of the modules named, each behind those that it needs.
module_files() {
  local name file need
  for name in "$@"; do
    file=$(find "$tree" -name "${name//[-_]/[-_]}.ko*" | head -1)
    [ -n "$file" ] || continue
    for need in $(modinfo -F depends "$file" | tr ',' ' '); do module_files "$need"; done
    echo "$file"
  done
}

root=$work/root
rm -rf "$root"
mkdir -p "$root"/{mods,proc,sys,dev,tmp}
cp "$init" "$root/init"
: > "$root/mods/order"
for file in $(module_files lz4 lzo-rle zram ${X03_MODS:-} | awk '!seen[$0]++'); do
  name=$(basename "$file" .xz)
  case $file in
    *.xz) xz -dc "$file" > "$root/mods/$name" ;;
    *) cp "$file" "$root/mods/$name" ;;
  esac
  echo "$name" >> "$root/mods/order"
done
if [ "$module" != - ]; then
  cp "$module" "$root/mods/x03mod.ko"
  echo x03mod.ko >> "$root/mods/order"
fi
(cd "$root" && find . | cpio -o -H newc 2>/dev/null | gzip -1) > "$work/initrd.gz"

log=$work/log.txt
rm -f "$log"
# shellcheck disable=SC2086 # options, not one word
timeout "$seconds" qemu-system-x86_64 -accel tcg,thread=multi -cpu "${X03_CPU:-max}" -smp 4 -m 1G -no-reboot \
  ${X03_QEMU:-} -nic none -display none -monitor none -serial "file:$log" \
  -kernel "$(find "$tree" -name 'vmlinuz*' | head -1)" -initrd "$work/initrd.gz" \
  -append "console=ttyS0 no5lvl mitigations=off nopti tsc=reliable panic=-1 oops=panic quiet loglevel=5 \
transparent_hugepage=never zswap.enabled=0 module.sig_enforce=0 ${X03_CMD:-}" \
  </dev/null || echo "qemu ended with $?" >&2
grep -a '^@@\|x03:\|BUG\|WARNING\|Oops\|panic' "$log" || tail -20 "$log"
