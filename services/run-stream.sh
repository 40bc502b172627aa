#!/usr/bin/env bash
# make run-stream: a stream on the log of this machine, from real rows to their results, and an event that the
# contract refuses, on its way to the dead letters and back. It ends by itself, and leaves but a second bundle in .cache.
#
#     BUNDLE   the demo's bundle
#     BIN      where the command fivefold is
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${BUNDLE:=bundles/breast-cancer}" "${BIN:=.venv/bin}"
. services/demo.sh run-stream/log
log=$scratch worker=""

run() { # run WORD…: one of our commands, as a person would type it
  printf '$ fivefold %s\n' "$*"
  "$fivefold" "$@" --data "$log"
}

start() { # start BUNDLE: a worker beside this script
  printf '$ fivefold stream --model %s --from local://patients --to local://diagnoses &\n' "$1"
  "$fivefold" stream --model "$1" --from local://patients --to local://diagnoses --data "$log" &
  worker=$!
}

stop() { # it ends when the batch in hand is done, and says what it did
  [ -z "$worker" ] || kill -TERM "$worker" 2>/dev/null || true
  [ -z "$worker" ] || wait "$worker" || return
  worker=""
}

until_there() { # until_there COUNT TOPIC: follow it; a worker that has died meanwhile ends the wait
  printf '$ fivefold log read %s --follow --limit %s\n' "$2" "$1"
  "$fivefold" log read "$2" --data "$log" --follow --limit "$1" >"$log/seen" &
  local reader=$!
  while kill -0 "$reader" 2>/dev/null; do
    kill -0 "$worker" 2>/dev/null || { kill -TERM "$reader"; wait "$worker"; }
    sleep 0.2
  done
  wait "$reader"
}

shorten() { cut -c "-${COLUMNS:-140}"; }

say "The rows of scikit-learn's breast cancer set, as events"
"$fivefold" demo "$BUNDLE" --events "$log/patients.jsonl"
total=$(wc -l <"$log/patients.jsonl")
head -n 1 "$log/patients.jsonl" | shorten

say "A worker scores what comes; a first hundred comes, then the rest"
head -n 100 "$log/patients.jsonl" | run log append patients
start "$BUNDLE"
until_there 100 diagnoses
head -n 3 "$log/seen" | shorten
echo …
tail -n +101 "$log/patients.jsonl" | run log append patients
until_there "$total" diagnoses
echo …
tail -n 2 "$log/seen" | shorten

say "An event that the contract refuses becomes a dead letter, and the others are not held up"
head -n 1 "$log/patients.jsonl" | sed 's/"patient-0"/"patient-x"/; s/"mean_radius": [0-9.]*/"mean_radius": 61.5/' >"$log/poison.jsonl"
shorten <"$log/poison.jsonl"
run log append patients "$log/poison.jsonl"
until_there 1 patients.dead-letter
run dead-letters list local://patients.dead-letter

say "The radius was right and the contract too narrow: another bundle takes it, and another worker has that bundle"
digest=$(sha256sum "$BUNDLE/bundle.json" | cut -c -12)
wider=.cache/run-stream/breast-cancer-1.1.0-$digest
sed 's/"version": *"1\.0\.0"/"version":"1.1.0"/; s/\("maximum": *\)60\([^0-9]\)/\1100\2/' "$BUNDLE/contract.json" >"$log/contract.json"
if [ ! -e "$wider" ]; then
  # It answers 1.0.0 too, as events may name it; those that name none are read as 1.1.0.
  new=(--contract "$log/contract.json" --replaces "$BUNDLE" --default-contract 1.1.0 --version 2)
  printf '$ fivefold pack %s --contract contract.json --replaces %s --default-contract 1.1.0 --version 2 --output %s\n' \
    "$BUNDLE/model.onnx" "$BUNDLE" "$wider"
  "$fivefold" pack "$BUNDLE/model.onnx" "${new[@]}" --output "$log/wider" --quiet >"$log/packed"
  head -n 2 "$log/packed"
  # Whole or not at all, although it may be interrupted.
  mv "$log/wider" "$wider" 2>/dev/null || [ -e "$wider" ]
fi
stop
start "$wider"
run dead-letters replay local://patients.dead-letter --to local://patients
until_there $((total + 1)) diagnoses
grep '"patient-x"' "$log/seen" | shorten
stop

say "Each event has exactly one result: $total patients, and the one that went round by the dead letters"
run log info
