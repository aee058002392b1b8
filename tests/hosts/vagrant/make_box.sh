#!/bin/sh
# Makes a Vagrant box for libvirt of a small Debian with Python and an SSH server, into the folder
# that is named: lab.box, vmlinuz, initrd and key. The guest has no boot loader: the kernel is given
# to it, and the processor is emulated.
# Needs root, debootstrap, qemu-utils and e2fsprogs; takes what apt's first source has.
set -eu

out=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

mirror=$(apt-get indextargets --format '$(SITE)' | head -n 1)
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
packages=linux-image-cloud-amd64,systemd-sysv,udev,dbus,openssh-server,python3,sudo,iproute2,zstd
debootstrap --variant=minbase --include="$packages" "$release" "$root" "$mirror" >"$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2; exit 1; }

chroot "$root" useradd --create-home --shell /bin/bash vagrant
install -d -m 700 -o 1000 -g 1000 "$root/home/vagrant/.ssh"
ssh-keygen -q -t ed25519 -N '' -f "$out/key"
install -m 600 -o 1000 -g 1000 "$out/key.pub" "$root/home/vagrant/.ssh/authorized_keys"
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/vagrant"
chmod 440 "$root/etc/sudoers.d/vagrant"
echo lab >"$root/etc/hostname"
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
printf '[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/lab.network"
chroot "$root" systemctl enable systemd-networkd >/dev/null 2>&1
# Nothing that waits for what is not there.
chroot "$root" systemctl mask systemd-networkd-wait-online.service apt-daily.timer \
    apt-daily-upgrade.timer >/dev/null 2>&1
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
# Only what finds the disk.
echo MODULES=list >"$root/etc/initramfs-tools/conf.d/lab"
printf 'virtio_pci\nvirtio_blk\next4\n' >>"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u >/dev/null 2>&1

cp "$root"/boot/vmlinuz-* "$out/vmlinuz"
cp "$root"/boot/initrd.img-* "$out/initrd"
truncate -s 3G "$work/disk"
mkfs.ext4 -q -d "$root" "$work/disk"
qemu-img convert -O qcow2 "$work/disk" "$work/box.img"
echo '{"provider": "libvirt", "format": "qcow2", "virtual_size": 3}' >"$work/metadata.json"
cat >"$work/Vagrantfile" <<END
Vagrant.configure("2") do |config|
  config.ssh.private_key_path = "$out/key"
  config.ssh.insert_key = false
  config.vm.provider("libvirt") do |vm|
    vm.driver = "qemu"
    vm.kernel = "$out/vmlinuz"
    vm.initrd = "$out/initrd"
    vm.cmd_line = "root=/dev/vda rw console=ttyS0 quiet mitigations=off"
    vm.graphics_type = "none"
    vm.video_type = "none"
  end
end
END
tar -C "$work" -cf "$out/lab.box" metadata.json Vagrantfile box.img
