# The private Kubernetes cluster of ./quickstart: functions to source. They use $work, say, start, free_port and until_ready
# of that script. A real API server with etcd, controllers, scheduler and a node that runs commands, all on loopback, from
# the parts that ./test builds (scripts/install-test-deps, about nine minutes): without them there is none, and nothing is
# built for it here.

kubernetes_parts=${DOORWARD_TEST_CACHE:-$repo/.cache}/kubernetes

# Why there is no cluster; nothing where there can be one.
no_kubernetes() {
    local part
    for part in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl; do
        if [[ ! -x $kubernetes_parts/$part ]]; then
            echo 'its parts are not built: run ./test, or scripts/install-test-deps, once (about nine minutes)'
            return
        fi
    done
    [[ $EUID -eq 0 ]] || echo 'a node that runs commands needs root'
}

# certificate NAME GROUP: a key and a certificate of the cluster's authority, for clients and servers on loopback.
certificate() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "${2:+/O=$2}/CN=$1" \
        -keyout "$kube/$1.key" -out "$kube/$1.csr" 2> /dev/null
    openssl x509 -req -in "$kube/$1.csr" -CA "$kube/ca.crt" -CAkey "$kube/ca.key" -CAcreateserial -days 2 \
        -extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1') -out "$kube/$1.crt" 2> /dev/null
}

# kubeconfig NAME SERVER CA USER: a file that kubectl reads; JSON is YAML.
kubeconfig() {
    (umask 077 && cat > "$kube/$1.kubeconfig" << END
{"apiVersion": "v1", "kind": "Config", "current-context": "demo",
 "clusters": [{"name": "demo", "cluster": {"server": "$2", "certificate-authority": "$3"}}],
 "users": [{"name": "demo", "user": $4}],
 "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "demo"}}]}
END
    )
}
by_certificate() {
    kubeconfig "$1" "https://127.0.0.1:$kube_port" "$kube/ca.crt" \
        "{\"client-certificate\": \"$kube/$1.crt\", \"client-key\": \"$kube/$1.key\"}"
}

# As the cluster's administrator, past the gateway.
owner_kubectl() {
    HOME=$kube timeout 60 "$kubernetes_parts/kubectl" --kubeconfig "$kube/admin.kubeconfig" "$@"
}

start_kubernetes() {
    local why etcd_port peer_port node_port name
    why=$(no_kubernetes)
    [[ -z $why ]] || return 0
    kube=$work/kubernetes
    rm -rf "$kube" && mkdir -p "$kube"
    free_port 6443 && kube_port=$found_port
    free_port 2379 && etcd_port=$found_port
    free_port 2479 && peer_port=$found_port
    free_port 10250 && node_port=$found_port
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=demo \
        -keyout "$kube/ca.key" -out "$kube/ca.crt" 2> /dev/null
    certificate admin system:masters
    certificate kube-apiserver system:masters
    certificate service-accounts
    certificate system:kube-controller-manager
    certificate system:kube-scheduler
    certificate system:node:node-1 system:nodes
    for name in admin system:kube-controller-manager system:kube-scheduler system:node:node-1; do by_certificate "$name"; done

    start "$work/etcd.log" "$kubernetes_parts/etcd" --log-level=warn --unsafe-no-fsync --data-dir "$kube/etcd" \
        --listen-client-urls="http://127.0.0.1:$etcd_port" --advertise-client-urls="http://127.0.0.1:$etcd_port" \
        --listen-peer-urls="http://127.0.0.1:$peer_port" --initial-advertise-peer-urls="http://127.0.0.1:$peer_port" \
        --initial-cluster="default=http://127.0.0.1:$peer_port"
    start "$work/kube-apiserver.log" "$kubernetes_parts/kube-apiserver" --etcd-servers="http://127.0.0.1:$etcd_port" \
        --secure-port="$kube_port" --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --endpoint-reconciler-type=none \
        --tls-cert-file="$kube/kube-apiserver.crt" --tls-private-key-file="$kube/kube-apiserver.key" \
        --client-ca-file="$kube/ca.crt" --kubelet-certificate-authority="$kube/ca.crt" \
        --kubelet-client-certificate="$kube/kube-apiserver.crt" --kubelet-client-key="$kube/kube-apiserver.key" \
        --service-account-key-file="$kube/service-accounts.crt" --service-account-signing-key-file="$kube/service-accounts.key" \
        --service-account-issuer=https://kubernetes.default.svc --authorization-mode=Node,RBAC --allow-privileged=true \
        --enable-admission-plugins=NodeRestriction --service-cluster-ip-range=10.96.0.0/16 \
        --kubelet-preferred-address-types=InternalIP
    until_ready 'the API server' "$started" "$work/kube-apiserver.log" owner_kubectl get --raw /readyz
    start "$work/kube-controllers.log" "$kubernetes_parts/kube-controller-manager" \
        --kubeconfig "$kube/system:kube-controller-manager.kubeconfig" --root-ca-file="$kube/ca.crt" \
        --service-account-private-key-file="$kube/service-accounts.key" --use-service-account-credentials=true \
        --leader-elect=false --secure-port=0 --bind-address=127.0.0.1 --kube-api-qps=500 --kube-api-burst=1000
    start "$work/kube-scheduler.log" "$kubernetes_parts/kube-scheduler" \
        --kubeconfig "$kube/system:kube-scheduler.kubeconfig" --leader-elect=false --secure-port=0 --bind-address=127.0.0.1
    start "$work/kubelet.log" unshare --mount -- "$kubernetes_parts/kubelet" --name=node-1 --port="$node_port" \
        --root-dir="$kube/node" --kubeconfig="$kube/system:node:node-1.kubeconfig" --client-ca-file="$kube/ca.crt" \
        --tls-cert-file="$kube/kube-apiserver.crt" --tls-private-key-file="$kube/kube-apiserver.key"
    node_ready() {
        owner_kubectl patch node node-1 --subresource=status --type=merge -p \
            '{"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": "node-1"}]}}' &&
            { owner_kubectl taint node node-1 node.cloudprovider.kubernetes.io/uninitialized- || true; } &&
            owner_kubectl wait --for=condition=Ready node/node-1 --timeout=1s &&
            owner_kubectl get serviceaccount default -n default
    }
    until_ready 'the node' "$started" "$work/kubelet.log" node_ready
    owner_kubectl apply -f - > /dev/null < "$repo/demo/kubernetes.yaml"
    (umask 077 && owner_kubectl create token gateway -n doorward --duration=24h > "$work/kubernetes-token")
    owner_kubectl wait -n shop --for=condition=Ready pod --all --timeout=60s > /dev/null
}

# The connection, for doorward.toml, once there is a cluster.
kubernetes_config() {
    [[ -n ${kube:-} ]] || return 0
    cat << END

[[connections]]
name       = "k8s"
kind       = "kubernetes"
listen     = "127.0.0.1:$cluster_port"
upstream   = "127.0.0.1:$kube_port"
credential = { file = "kubernetes-token" }
tls_ca     = "$kube/ca.crt"
labels     = { environment = "demo" }
END
}
