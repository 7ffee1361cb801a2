# What the SSH clients in shell share, for their `run` to source: the settings, a folder, and one line for each check.
set -u
host=${E2E_SSH_HOST:?} port=${E2E_SSH_PORT:?} user=${E2E_SSH_USER:?} host_key=${E2E_SSH_HOST_KEY:?}
folder=${E2E_SSH_DIRECTORY:-.} sftp=${E2E_SSH_SFTP:-allowed} forward=${E2E_SSH_FORWARD:-allowed}
if [[ -n ${DOORWARD_TOKEN_FILE:-} ]]; then password=$(<"$DOORWARD_TOKEN_FILE"); else password=${E2E_SSH_PASSWORD:?}; fi
export LC_ALL=C.UTF-8
work=$(mktemp -d)
cleanup() { :; }
trap 'cleanup; rm -rf "$work"' EXIT
failed=0

# check NAME EXPECTED ACTUAL
check() {
    if [[ $2 == "$3" ]]; then
        echo "ok $1"
    else
        echo "FAIL $1: expected $(printf %q "$2"), got $(printf %q "${3:0:400}")"
        failed=1
    fi
}

# contains NAME PART ACTUAL
contains() {
    if [[ $3 == *"$2"* ]]; then check "$1" '' ''; else check "$1" "…$2…" "$3"; fi
}

digest() { sha256sum | cut -d' ' -f1; }

said='printf "out \303\274\n"; printf "err\n" >&2; exit 7'
big='seq 1 5000000 | head -c 33554432'
big_digest=$(seq 1 5000000 | head -c 33554432 | digest)
head -c 1048576 /dev/urandom > "$work/mebibyte"
mebibyte=$(digest < "$work/mebibyte")
