#!/bin/sh
# Five processes side by side, as one would start them by hand: four Flask servers and nginx.
# usage: startup.sh PYTHON NGINX FOLDER FIRST_PORT   (the folder holds nginx.conf)
# Prints "ready" when every one of them has answered a request, and ends them when its input closes.
python=$1 nginx=$2 folder=$3 port=$4
pids=""
for n in 1 2 3 4; do
    "$python" -m flask --app pytest_winserve.sample_app run --port $((port + n)) \
        >"$folder/$n.log" 2>&1 </dev/null &
    pids="$pids $!"
done
"$nginx" -p "$folder/" -c nginx.conf -e logs/error.log >"$folder/nginx.log" 2>&1 </dev/null &
pids="$pids $!"
for n in 1 2 3 4 0; do
    until curl -s -o /dev/null "http://127.0.0.1:$((port + n))/test"; do sleep 0.01; done
done
echo ready
read -r _
kill $pids
wait
