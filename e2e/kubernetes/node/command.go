// Package node is a Kubernetes node: the kubelet of k8s.io/kubernetes with a container runtime that runs processes of
// this machine.
//
// Real: all that the kubelet does (its HTTPS API with authentication and authorization by the API server, pods, probes,
// restarts, init and ephemeral containers, volumes, logs, status, leases), and the streaming code of container runtimes,
// k8s.io/cri-streaming, for exec, attach and port-forward. The README beside this folder says what is left out.
package node

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	noop "go.opentelemetry.io/otel/trace/noop"
	"k8s.io/apimachinery/pkg/types"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/kubelet"
	config "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	kubeletutil "k8s.io/kubernetes/pkg/kubelet/util"
	"k8s.io/kubernetes/pkg/util/oom"
	"k8s.io/kubernetes/pkg/volume/util/hostutil"
	"k8s.io/kubernetes/pkg/volume/util/subpath"
	"k8s.io/mount-utils"
)

type settings struct {
	name, root, kubeconfig, clientCA, cert, key string
	port                                        int32
}

// NewCommand makes the command line.
func NewCommand() *cobra.Command {
	var s settings
	command := &cobra.Command{
		Use:          "kubelet",
		Short:        "A Kubernetes node whose containers are processes of this machine",
		SilenceUsage: true,
		RunE:         func(command *cobra.Command, _ []string) error { return s.run(command.Context()) },
	}
	flags := command.Flags()
	flags.StringVar(&s.name, "name", "node-1", "the node's name")
	flags.StringVar(&s.root, "root-dir", "", "folder for everything this node keeps")
	flags.StringVar(&s.kubeconfig, "kubeconfig", "", "who the node is towards the API server (system:node:NAME)")
	flags.StringVar(&s.clientCA, "client-ca-file", "", "authority of the API server's client certificate")
	flags.StringVar(&s.cert, "tls-cert-file", "", "certificate of the kubelet's own API")
	flags.StringVar(&s.key, "tls-private-key-file", "", "key of that certificate")
	flags.Int32Var(&s.port, "port", 10250, "port of the kubelet's own API on 127.0.0.1")
	return command
}

func (s *settings) run(ctx context.Context) error {
	if s.root == "" {
		return errors.New("--root-dir is missing")
	}
	rest, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		return err
	}
	rest.QPS, rest.Burst = 200, 400
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return err
	}
	server, err := s.kubeletServer()
	if err != nil {
		return err
	}
	runtime, err := newRuntime(filepath.Join(s.root, "containers"))
	if err != nil {
		return err
	}
	deps, err := s.dependencies(ctx, server, client, runtime)
	if err != nil {
		return err
	}
	if err := kubeletapp.RunKubelet(ctx, server, deps); err != nil {
		return err
	}
	// Containers end with this process, by the kernel.
	select {}
}

func (s *settings) kubeletServer() (*options.KubeletServer, error) {
	server, err := options.NewKubeletServer()
	if err != nil {
		return nil, err
	}
	server.RootDirectory = s.root
	server.CertDirectory = filepath.Join(s.root, "pki")
	server.HostnameOverride = s.name
	// The address is then given by somebody else: the kubelet itself takes no loopback address.
	server.CloudProvider = "external"
	server.KubeConfig = s.kubeconfig

	c := &server.KubeletConfiguration
	c.Address, c.Port, c.HealthzPort, c.ReadOnlyPort = "127.0.0.1", s.port, 0, 0
	c.TLSCertFile, c.TLSPrivateKeyFile = s.cert, s.key
	c.Authentication.X509.ClientCAFile = s.clientCA
	c.Authentication.Anonymous.Enabled = false
	c.Authentication.Webhook.Enabled = true
	c.Authorization.Mode = config.KubeletAuthorizationModeWebhook
	c.PodLogsDir = filepath.Join(s.root, "pod-logs")
	c.VolumePluginDir = filepath.Join(s.root, "volume-plugins")
	c.ResolverConfig = ""
	c.CgroupsPerQOS = false
	c.EnforceNodeAllocatable = nil
	c.EnableControllerAttachDetach = false
	c.LocalStorageCapacityIsolation = false
	c.MakeIPTablesUtilChains = false
	c.FailSwapOn = false
	c.EvictionHard = map[string]string{}
	c.MaxPods = 1000
	c.SerializeImagePulls = false
	c.NodeStatusUpdateFrequency.Duration = 2 * time.Second
	c.ContainerRuntimeEndpoint, c.ImageServiceEndpoint = "unix://"+s.root+"/in-process", "unix://"+s.root+"/in-process"
	return server, nil
}

func (s *settings) dependencies(ctx context.Context, server *options.KubeletServer, client kubernetes.Interface, runtime *processRuntime) (*kubelet.Dependencies, error) {
	tls, err := kubeletapp.InitializeTLS(ctx, &server.KubeletFlags, &server.KubeletConfiguration)
	if err != nil {
		return nil, err
	}
	auth, reload, err := kubeletapp.BuildAuth(types.NodeName(s.name), client, server.KubeletConfiguration)
	if err != nil {
		return nil, err
	}
	reload(ctx.Done())
	plugins, err := kubeletapp.ProbeVolumePlugins(ctx, utilfeature.DefaultFeatureGate)
	if err != nil {
		return nil, err
	}
	logs := filepath.Join(s.root, "log-links")
	kubelet.ContainerLogsDir = logs
	mounter := mount.NewWithoutSystemd("")
	return &kubelet.Dependencies{
		Auth:                      auth,
		CAdvisorInterface:         &machine{},
		ContainerManager:          cm.NewStubContainerManager(),
		HostUtil:                  hostutil.NewHostUtil(),
		KubeClient:                client,
		HeartbeatClient:           client,
		EventClient:               client.CoreV1(),
		Mounter:                   mounter,
		NodeStartupLatencyTracker: kubeletutil.NewNodeStartupLatencyTracker(klog.FromContext(ctx)),
		OOMAdjuster:               oom.NewFakeOOMAdjuster(),
		OSInterface:               nodeOS{logs: logs},
		PodStartupLatencyTracker:  kubeletutil.NewPodStartupLatencyTracker(),
		// With a real one the kubelet reads the machine's kernel log.
		Recorder:             &record.FakeRecorder{},
		RemoteImageService:   images{},
		RemoteRuntimeService: runtime,
		Subpather:            subpath.New(mounter),
		TLSOptions:           tls,
		TracerProvider:       noop.NewTracerProvider(),
		VolumePlugins:        plugins,
	}, nil
}
