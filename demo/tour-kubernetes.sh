# The Kubernetes part of the tour of ./quickstart: functions to source, as demo/tour.sh. Each speaks to the gateway with
# kubectl, which knows nothing but its address and a token.

on_cluster() {
    HOME=$kube timeout 60 "$kubernetes_parts/kubectl" --kubeconfig "$kube/agent.kubeconfig" "$@" 2>&1
}

tour_kubernetes_allowed() {
    proof=kubernetes/allowed
    local got want
    want=$(owner_kubectl get pods -n shop -o name)
    got=$(on_cluster get pods -n shop -o name)
    if [[ -n $want && $got == "$want" ]]; then
        pass 'kubectl uses the gateway as a cluster, with a token; it lists the pods that there are'
    else
        fail 'kubectl got something else' "$got"
    fi
}

tour_kubernetes_masked() {
    proof=kubernetes/masked
    local got
    got=$(on_cluster logs -n shop web; on_cluster exec -n shop web -- sh -c 'printf "4111 1111 "; sleep 0.2; echo 1111 1111')
    if has "$got" '1111 1111'; then
        fail 'a card number came through' "$got"
    elif ! has "$got" 'Ada Lovelace'; then
        fail 'the rest of the log is not what it was' "$got"
    else
        pass 'card numbers in logs and in what commands print are masked, also where the bytes come cut in two'
    fi
}

tour_kubernetes_secrets() {
    proof=kubernetes/secrets-masked
    local got form secret=bm90LWZvci1hZ2VudHM
    for form in yaml json 'jsonpath={.data}'; do
        got=$(on_cluster get secret database -n shop -o "$form")
        if has "$got" "$secret" || has "$got" not-for-agents; then
            fail "the value came through as $form" "$got"
            return
        elif has "$got" Forbidden || ! has "$got" password; then
            fail "the secret is not shown as $form" "$got"
            return
        fi
    done
    pass 'a Secret is shown with its keys and without its values, as YAML, JSON and by path'
}

tour_kubernetes_refused() {
    proof=kubernetes/privileged-refused
    local got pod='"containers": [{"name": "c", "image": "x", "securityContext": {"privileged": true}}]'
    local template="{\"metadata\": {\"labels\": {\"a\": \"b\"}}, \"spec\": {$pod}}" manifest
    for manifest in \
        "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"x\"}, \"spec\": {$pod}}" \
        "{\"apiVersion\": \"apps/v1\", \"kind\": \"Deployment\", \"metadata\": {\"name\": \"x\"}, \"spec\":
            {\"selector\": {\"matchLabels\": {\"a\": \"b\"}}, \"template\": $template}}"; do
        got=$(on_cluster apply -n shop -f - <<< "$manifest")
        if ! has "$got" Forbidden || ! has "$got" no-nodes-through-pods; then
            fail 'a privileged pod was not refused' "$got"
            return
        fi
    done
    if [[ $(owner_kubectl get pods,deployments -n shop -o name | wc -l) -ne 2 ]]; then
        fail 'something was made'
    else
        pass 'a privileged pod is refused, as itself and within a Deployment, with the policy and its reason'
    fi
}

tour_kubernetes_held() {
    proof=kubernetes/exec-approved
    local output=$scratch/kubernetes-held got pid status
    on_cluster exec -n shop shop -- echo in production > "$output" &
    pid=$!
    approved_by_another "$output" "$pid" 'an exec into production' || return 0
    got=$(cat "$output")
    if [[ $status -eq 0 ]] && grep -qx 'in production' "$output"; then
        pass 'an exec into a pod labelled environment=prod waits and says so; dana approves; it runs in the same kubectl'
    else
        fail "it did not run after it was approved (status $status)" "$got"
    fi
}

tour_kubernetes_copied() {
    proof=kubernetes/copied
    local got hash
    printf 'nothing private, by kubectl\n' > "$scratch/copied"
    hash=$(sha256sum "$scratch/copied" | cut -d' ' -f1)
    got=$(on_cluster cp "$scratch/copied" shop/web:/tmp/copied && on_cluster cp shop/web:/tmp/copied "$scratch/copied-back")
    if ! cmp -s "$scratch/copied" "$scratch/copied-back"; then
        fail 'a file did not go there and back' "$got"
    elif [[ $(offline audit list --event file_copied -n 5 --output json | grep -c "$hash") -ne 2 ]]; then
        fail 'the audit log does not know both files' "$(offline audit list --event file_copied -n 5)"
    else
        pass 'kubectl cp copies a file there and back; the audit log has each with its path, size and SHA-256'
    fi
}

tour_kubernetes_replayed() {
    proof=kubernetes/replayed
    local session shown=
    for session in $(offline sessions list | cut -d' ' -f1 | head -n 30); do
        shown=$(offline sessions replay "$session" --speed 0 2>&1)
        if has "$shown" 'exec pods shop/shop' && has "$shown" 'approved by'; then break; fi
        shown=
    done
    if [[ -z $shown ]]; then
        fail 'no recording has the command and who approved it'
    elif ! has "$shown" '< in production' || ! has "$shown" 'exit 0'; then
        fail 'the replay does not show what the command wrote' "$shown"
    elif ! offline sessions export "$session" --format asciicast 2>&1 | grep -q '"version":3'; then
        fail 'it does not export as an asciicast'
    else
        pass 'a session plays back as request, approval, output and exit status, and exports as an asciicast'
    fi
}

tour_kubernetes() {
    if [[ -z ${kube:-} ]]; then
        printf 'SKIP kubernetes: %s\n' "$(no_kubernetes)"
        return
    fi
    kubeconfig agent "https://127.0.0.1:$cluster_port" "$work/state/dev-tls.crt" "{\"token\": \"$agent\"}"
    tour_kubernetes_allowed
    tour_kubernetes_masked
    tour_kubernetes_secrets
    tour_kubernetes_refused
    tour_kubernetes_held
    tour_kubernetes_copied
    tour_kubernetes_replayed
}
