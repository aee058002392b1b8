#!/bin/sh
# Runs a libvirt of its own in a network and mounts of its own until the input ends. Run it in
# `unshare --net --mount`; what is to see the machines joins it by its pid. FOLDER takes what it
# keeps. Says `ready` when libvirt answers.
set -eu

folder=$1
ip link set lo up
mount -t sysfs sysfs /sys
mkdir -p "$folder/etc" "$folder/lib" "$folder/run" /run/libvirt /var/lib/libvirt
cp -r /etc/libvirt/. "$folder/etc"
cat >"$folder/etc/qemu.conf" <<END
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
END
echo 'auth_unix_rw = "none"' >"$folder/etc/libvirtd.conf"
rm -rf "$folder/etc/qemu/networks/autostart"
mkdir -p "$folder/lib/images" "$folder/lib/dnsmasq"
mount --bind "$folder/etc" /etc/libvirt
mount --bind "$folder/lib" /var/lib/libvirt
mount --bind "$folder/run" /run/libvirt

virtlogd >"$folder/virtlogd.log" 2>&1 &
logs=$!
libvirtd >"$folder/libvirtd.log" 2>&1 &
machines=$!
end() {
    for domain in $(virsh -q list --name 2>/dev/null); do virsh -q destroy "$domain"; done
    for network in $(virsh -q net-list --name 2>/dev/null); do virsh -q net-destroy "$network"; done
    kill "$machines" "$logs"
    wait
}
trap end EXIT
tries=0
until virsh -q list >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { cat "$folder/libvirtd.log" >&2; exit 1; }
    sleep 0.1
done
echo ready
cat >/dev/null
