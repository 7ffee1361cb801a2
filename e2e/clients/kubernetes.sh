# What the Kubernetes clients in shell share, for their `run` to source: a kubeconfig, and one line for each check.
set -u
server=${E2E_KUBE_SERVER:?} ca=${E2E_KUBE_CA:?} namespace=${E2E_KUBE_NAMESPACE:-default}
if [[ -n ${DOORWARD_TOKEN_FILE:-} ]]; then token=$(<"$DOORWARD_TOKEN_FILE"); else token=${E2E_KUBE_TOKEN:?}; fi
work=$(mktemp -d)
cleanup() { :; }
trap 'cleanup; rm -rf "$work"' EXIT
export HOME=$work KUBECONFIG=$work/kubeconfig
failed=0

# kubeconfig TOKEN: JSON is YAML.
kubeconfig() {
    cat << EOF
{"apiVersion": "v1", "kind": "Config", "current-context": "e2e",
 "clusters": [{"name": "e2e", "cluster": {"server": "$server", "certificate-authority": "$ca"}}],
 "users": [{"name": "e2e", "user": {"token": "$1"}}],
 "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e", "namespace": "$namespace"}}]}
EOF
}
kubeconfig "$token" > "$KUBECONFIG"
kubeconfig wrong > "$work/wrong"

# check NAME EXPECTED ACTUAL
check() {
    if [[ $2 == "$3" ]]; then
        echo "ok $1"
    else
        echo "FAIL $1: expected $(printf %q "${2:0:400}"), got $(printf %q "${3:0:400}")"
        failed=1
    fi
}

# contains NAME PART ACTUAL
contains() {
    if [[ $3 == *"$2"* ]]; then check "$1" '' ''; else check "$1" "…$2…" "$3"; fi
}

digest() { sha256sum | cut -d' ' -f1; }
