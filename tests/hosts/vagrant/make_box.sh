#!/bin/sh
# Makes a Vagrant box for libvirt of a small Debian with Python and an SSH server, into the folder
# that is named: lab.box, vmlinuz, initrd and key. The guest has no boot loader: the kernel is given
# to it, and the processor is emulated. So it starts next to nothing: systemd would take a minute.
# Programs lie at the same addresses each time: what was translated for one run serves the next.
# Needs root, mmdebstrap, qemu-utils and e2fsprogs; takes what apt's first source has.
set -eu

out=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

mirror=$(apt-get indextargets --format '$(SITE)' | head -n 1)
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
packages=linux-image-cloud-amd64,sysvinit-core,udhcpc,openssh-server,python3,sudo,iproute2,zstd
# What starts first has only what finds the disk and the network.
mmdebstrap --variant=minbase --include="$packages" \
    --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
    --essential-hook='echo MODULES=list >"$1/etc/initramfs-tools/conf.d/lab"' \
    --essential-hook='printf "%s\n" virtio_pci virtio_blk virtio_net ext4 >"$1/etc/initramfs-tools/modules"' \
    "$release" "$root" "$mirror" >"$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2; exit 1; }

chroot "$root" useradd --create-home --shell /bin/bash vagrant
install -d -m 700 -o 1000 -g 1000 "$root/home/vagrant/.ssh"
ssh-keygen -q -t ed25519 -N '' -f "$out/key"
install -m 600 -o 1000 -g 1000 "$out/key.pub" "$root/home/vagrant/.ssh/authorized_keys"
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/vagrant"
chmod 440 "$root/etc/sudoers.d/vagrant"
echo lab >"$root/etc/hostname"
cat >"$root/etc/inittab" <<'END'
id:2:initdefault:
up::sysinit:/etc/up
ssh:2:respawn:/usr/sbin/sshd -D
off:0:wait:/sbin/poweroff -f
again:6:wait:/sbin/reboot -f
END
cat >"$root/etc/up" <<'END'
#!/bin/sh
mkdir -p /dev/pts /run/sshd
mount -t devpts devpts /dev/pts
hostname lab
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -S
END
chmod 755 "$root/etc/up"

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
    vm.cmd_line = "root=/dev/vda rw console=ttyS0 quiet mitigations=off norandmaps init_on_alloc=0 net.ifnames=0"
    vm.graphics_type = "none"
    vm.video_type = "none"
  end
end
END
tar -C "$work" -cf "$out/lab.box" metadata.json Vagrantfile box.img
