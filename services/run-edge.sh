#!/usr/bin/env bash
# make run-edge: a device that scores without a network and a hub that its events reach, on this machine, with a switch that
# cuts the network between them. On a terminal Enter is the switch, and Ctrl-C ends it; elsewhere it shows one cut and ends.
#
#     BUNDLE   the demo's bundle
#     BIN      where the command fivefold is
#     GATEWAY, HUB   where the two listen
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${BUNDLE:=bundles/breast-cancer}" "${BIN:=.venv/bin}" "${GATEWAY:=127.0.0.1:8000}" "${HUB:=127.0.0.1:8700}"
. services/demo.sh run-edge/home
home=$scratch

until_up() { # until_up HOST:PORT PROCESS LOG: it answers, or its log says why not
  until curl -fsS -o /dev/null "http://$1/readyz" 2>/dev/null; do
    kill -0 "$2" 2>/dev/null || { cat "$3" >&2; return 1; }
    sleep 0.2
  done
}

status() { printf '$ fivefold gateway status --data DATA\n'; "$fivefold" gateway status --data "$home/device"; }

delivered() { "$fivefold" hub events --data "$home/hub" --device ward-1 | wc -l; }

until_delivered() { # until_delivered COUNT
  until [ "$(delivered)" -ge "$1" ]; do
    kill -0 "$gateway" && kill -0 "$hub" || return 1
    sleep 0.5
  done
}

send() { # send FIRST LAST: patients, a request each
  local answered=0
  while IFS= read -r row; do
    curl -fsS -o "$home/answer" -H 'content-type: application/json' -d "{\"instances\": [$row]}" \
      "http://$GATEWAY/v1/models/breast-cancer:predict"
    answered=$((answered + 1))
  done < <(sed -n "$1,$2p" "$home/rows.jsonl")
  printf '%s patients were scored; the last answer: ' "$answered"
  cut -c "-${COLUMNS:-120}" "$home/answer"
  echo
}

say "A hub, and a device that it knows"
key=$home/key
(umask 077 && "$fivefold" hub device add ward-1 --data "$home/hub" >"$key")
"$fivefold" hub serve --data "$home/hub" --http "$HUB" >"$home/hub.log" 2>&1 &
hub=$!
until_up "$HUB" "$hub" "$home/hub.log"
# Between the two: a relay that lets through while there is no file `cut`, and says where it listens.
"$BIN/python" services/network_switch.py "$HUB" "$home/cut" >"$home/network" &
until [ -s "$home/network" ]; do sleep 0.1; done
say "The device: a gateway with the demo's model, and an outbox on the disk"
"$fivefold" gateway --model "$BUNDLE" --data "$home/device" --http "$GATEWAY" --hub "http://$(cat "$home/network")" \
  --device ward-1 --key-file "$key" >"$home/gateway.log" 2>&1 &
gateway=$!
until_up "$GATEWAY" "$gateway" "$home/gateway.log"
"$fivefold" demo "$BUNDLE" --events "$home/patients.jsonl" >/dev/null
"$BIN/python" -c 'import json, sys
for line in sys.stdin: print(json.dumps(json.loads(line)["value"]))' <"$home/patients.jsonl" >"$home/rows.jsonl"
cat <<END

  the device  http://$GATEWAY/     scores, with a network and without
  the hub     http://$HUB/     devices, what waits there, what has arrived
END

if [ -t 0 ]; then
  say "Enter cuts the network between them, and Enter restores it; Ctrl-C ends"
  while read -r _; do
    if [ -e "$home/cut" ]; then
      rm "$home/cut"
      echo "the network is there; what has waited is on its way"
    else
      : >"$home/cut"
      echo "the network is cut; the device goes on scoring, and keeps what it answers"
    fi
    status
  done
  exit 0
fi

say "Twenty patients, with a network"
send 1 20
until_delivered 20
echo "the hub has $(delivered) events"
say "The network is cut, and twenty more are scored on the spot"
: >"$home/cut"
send 21 40
status
echo "the hub has $(delivered) events"
say "The network is back: what has waited arrives, each event once"
rm "$home/cut"
until_delivered 40
"$fivefold" hub events --data "$home/hub" --device ward-1 | "$BIN/python" -c 'import json, sys
seen = [json.loads(line)["event"]["seq"] for line in sys.stdin]
print(f"{len(seen)} events, numbers {seen[0]} to {seen[-1]}, each once: {seen == list(range(1, len(seen) + 1))}")'
