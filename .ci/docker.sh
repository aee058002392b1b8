# Sourced by .ci/run, as root: starts a Docker engine of its own, which ends with the script, and
# begins to make a base for the lab image; docker_has_base waits for both. Nothing is pulled: the base
# is a Debian made here.

docker_folder=$(mktemp -d)
export DOCKER_HOST="unix://$docker_folder/docker.sock"
# Containers are reached through ports that the engine itself relays, so its rules for packets are not
# needed; they would keep test machines in network namespaces from reaching each other.
dockerd --iptables=false --data-root="$docker_folder/data" --exec-root="$docker_folder/exec" \
    --pidfile="$docker_folder/pid" --host="$DOCKER_HOST" >"$docker_folder/log" 2>&1 &
docker_engine=$!
mmdebstrap --quiet --variant=minbase --include=python3,nginx-light bookworm "$docker_folder/base.tar" \
    http://deb.debian.org/debian &
docker_base=$!

end_docker() {
    # The engine, and what else still runs beside the script when it fails.
    kill $(jobs -rp) 2>/dev/null || true
    wait
    # The engine leaves the network namespace of its containers mounted.
    awk -v under="$docker_folder/" 'index($5, under) == 1 { print $5 }' /proc/self/mountinfo |
        xargs --no-run-if-empty umount
    rm -rf "$docker_folder"
}
trap end_docker EXIT

docker_has_base() {
    until docker version >/dev/null 2>&1; do
        kill -0 "$docker_engine" || { cat "$docker_folder/log"; return 1; }
        sleep 0.2
    done
    docker version --format 'Docker {{.Server.Version}}'
    wait "$docker_base"
    docker import "$docker_folder/base.tar" winserve-base:bookworm
    rm "$docker_folder/base.tar"
}
