# What the demos share, to be sourced from the repository's root: . services/demo.sh NAME/PREFIX
#
# The command, a directory of the run below .cache/NAME, and its end: what it has started ends with it, and the directory
# goes, whether it came to its end, failed, or was interrupted.
fivefold=$BIN/fivefold
mkdir -p ".cache/${1%/*}"
scratch=$(mktemp -d ".cache/$1.XXXXXX")

say() { printf '\n== %s\n' "$*"; }

end() {
  local status=$?
  trap '' INT TERM
  # shellcheck disable=SC2046  # one word for each process
  kill -TERM $(jobs -p) 2>/dev/null || true
  wait
  rm -rf "$scratch"
  exit "$status"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
