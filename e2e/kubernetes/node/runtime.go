package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
)

// podAddress is where every pod is: containers share the machine's network.
const podAddress = "127.0.0.1"

type sandbox struct {
	id      string
	config  *runtimeapi.PodSandboxConfig
	created int64
	stopped bool
}

func (s *sandbox) state() runtimeapi.PodSandboxState {
	if s.stopped {
		return runtimeapi.PodSandboxState_SANDBOX_NOTREADY
	}
	return runtimeapi.PodSandboxState_SANDBOX_READY
}

// processRuntime is a container runtime, as the kubelet sees one.
type processRuntime struct {
	notImplemented
	folder     string
	streams    streaming.Server
	mutex      sync.Mutex
	sandboxes  map[string]*sandbox
	containers map[string]*container
}

var _ internalapi.RuntimeService = &processRuntime{}

func newRuntime(folder string) (*processRuntime, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	r := &processRuntime{folder: folder, sandboxes: map[string]*sandbox{}, containers: map[string]*container{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	config := streaming.DefaultConfig
	config.Addr = listener.Addr().String()
	config.BaseURL = &url.URL{Scheme: "http", Host: config.Addr, Path: "/"}
	if r.streams, err = streaming.NewServer(config, (*streams)(r)); err != nil {
		return nil, err
	}
	go func() { _ = http.Serve(listener, r.streams) }()
	return r, nil
}

func newID() string {
	id := make([]byte, 32)
	_, _ = rand.Read(id)
	return hex.EncodeToString(id)
}

func (r *processRuntime) container(id string) (*container, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if c := r.containers[id]; c != nil {
		return c, nil
	}
	return nil, notFound("container", id)
}

func (r *processRuntime) sandbox(id string) (*sandbox, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if s := r.sandboxes[id]; s != nil {
		return s, nil
	}
	return nil, notFound("sandbox", id)
}

// of lists the containers of a sandbox.
func (r *processRuntime) of(sandboxID string) []*container {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var found []*container
	for _, c := range r.containers {
		if c.sandbox.id == sandboxID {
			found = append(found, c)
		}
	}
	return found
}

func (r *processRuntime) Version(context.Context, string) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{Version: "0.1.0", RuntimeName: "process", RuntimeVersion: "1.0.0", RuntimeApiVersion: "v1"}, nil
}

func (r *processRuntime) Status(context.Context, bool) (*runtimeapi.StatusResponse, error) {
	ready := []*runtimeapi.RuntimeCondition{{Type: "RuntimeReady", Status: true}, {Type: "NetworkReady", Status: true}}
	return &runtimeapi.StatusResponse{Status: &runtimeapi.RuntimeStatus{Conditions: ready}}, nil
}

func (r *processRuntime) RunPodSandbox(_ context.Context, config *runtimeapi.PodSandboxConfig, _ string) (string, error) {
	if err := os.MkdirAll(config.LogDirectory, 0o755); err != nil {
		return "", err
	}
	s := &sandbox{id: newID(), config: config, created: time.Now().UnixNano()}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.sandboxes[s.id] = s
	return s.id, nil
}

func (r *processRuntime) StopPodSandbox(_ context.Context, id string) error {
	for _, c := range r.of(id) {
		c.stop(0)
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if s := r.sandboxes[id]; s != nil {
		s.stopped = true
	}
	return nil
}

func (r *processRuntime) RemovePodSandbox(ctx context.Context, id string) error {
	for _, c := range r.of(id) {
		if err := r.RemoveContainer(ctx, c.id); err != nil {
			return err
		}
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(r.sandboxes, id)
	return nil
}

func (r *processRuntime) PodSandboxStatus(_ context.Context, id string, _ bool) (*runtimeapi.PodSandboxStatusResponse, error) {
	s, err := r.sandbox(id)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.PodSandboxStatusResponse{Status: &runtimeapi.PodSandboxStatus{
		Id: s.id, Metadata: s.config.Metadata, State: s.state(), CreatedAt: s.created,
		Network: &runtimeapi.PodSandboxNetworkStatus{Ip: podAddress},
		Linux:   &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{Options: s.config.Linux.GetSecurityContext().GetNamespaceOptions()}},
		Labels:  s.config.Labels, Annotations: s.config.Annotations,
	}}, nil
}

func (r *processRuntime) ListPodSandbox(_ context.Context, filter *runtimeapi.PodSandboxFilter) ([]*runtimeapi.PodSandbox, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var found []*runtimeapi.PodSandbox
	for _, s := range r.sandboxes {
		if filter.GetId() != "" && filter.Id != s.id || filter.GetState() != nil && filter.State.State != s.state() ||
			!selects(filter.GetLabelSelector(), s.config.Labels) {
			continue
		}
		found = append(found, &runtimeapi.PodSandbox{
			Id: s.id, Metadata: s.config.Metadata, State: s.state(), CreatedAt: s.created,
			Labels: s.config.Labels, Annotations: s.config.Annotations,
		})
	}
	return found, nil
}

func selects(selector, labels map[string]string) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return true
}

func (r *processRuntime) CreateContainer(_ context.Context, sandboxID string, config *runtimeapi.ContainerConfig, pod *runtimeapi.PodSandboxConfig) (string, error) {
	s, err := r.sandbox(sandboxID)
	if err != nil {
		return "", err
	}
	id := newID()
	c := &container{
		id: id, sandbox: s, config: config, created: time.Now().UnixNano(), done: make(chan struct{}),
		folder: filepath.Join(r.folder, id), log: filepath.Join(pod.LogDirectory, config.LogPath),
	}
	if options := config.Linux.GetSecurityContext().GetNamespaceOptions(); options.GetPid() == runtimeapi.NamespaceMode_TARGET {
		if c.target, err = r.container(options.TargetId); err != nil {
			return "", err
		}
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.containers[id] = c
	return id, nil
}

func (r *processRuntime) StartContainer(_ context.Context, id string) error {
	c, err := r.container(id)
	if err != nil {
		return err
	}
	return c.start()
}

func (r *processRuntime) StopContainer(_ context.Context, id string, seconds int64) error {
	c, err := r.container(id)
	if err == nil {
		c.stop(time.Duration(seconds) * time.Second)
	}
	return nil
}

func (r *processRuntime) RemoveContainer(_ context.Context, id string) error {
	c, err := r.container(id)
	if err != nil {
		return nil
	}
	c.stop(0)
	r.mutex.Lock()
	delete(r.containers, id)
	r.mutex.Unlock()
	return os.RemoveAll(c.folder)
}

func (r *processRuntime) ListContainers(_ context.Context, filter *runtimeapi.ContainerFilter) ([]*runtimeapi.Container, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var found []*runtimeapi.Container
	for _, c := range r.containers {
		status := c.status()
		if filter.GetId() != "" && filter.Id != c.id || filter.GetState() != nil && filter.State.State != status.State ||
			filter.GetPodSandboxId() != "" && filter.PodSandboxId != c.sandbox.id ||
			!selects(filter.GetLabelSelector(), c.config.Labels) {
			continue
		}
		found = append(found, &runtimeapi.Container{
			Id: c.id, PodSandboxId: c.sandbox.id, Metadata: c.config.Metadata, Image: c.config.Image, ImageRef: status.ImageRef,
			State: status.State, CreatedAt: c.created, Labels: c.config.Labels, Annotations: c.config.Annotations, ImageId: status.ImageId,
		})
	}
	return found, nil
}

func (r *processRuntime) ContainerStatus(_ context.Context, id string, _ bool) (*runtimeapi.ContainerStatusResponse, error) {
	c, err := r.container(id)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ContainerStatusResponse{Status: c.status()}, nil
}

func (r *processRuntime) ReopenContainerLog(_ context.Context, id string) error {
	c, err := r.container(id)
	if err != nil {
		return err
	}
	return c.output.open(c.log)
}

func (r *processRuntime) UpdateContainerResources(context.Context, string, *runtimeapi.ContainerResources) error {
	return nil
}

func (r *processRuntime) Exec(_ context.Context, request *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	if _, err := r.running(request.ContainerId); err != nil {
		return nil, err
	}
	return r.streams.GetExec(request)
}

func (r *processRuntime) Attach(_ context.Context, request *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	if _, err := r.running(request.ContainerId); err != nil {
		return nil, err
	}
	return r.streams.GetAttach(request)
}

func (r *processRuntime) PortForward(_ context.Context, request *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	s, err := r.sandbox(request.PodSandboxId)
	if err != nil {
		return nil, err
	}
	if s.stopped {
		return nil, fmt.Errorf("sandbox %s is not running", s.id)
	}
	return r.streams.GetPortForward(request)
}

func (r *processRuntime) running(id string) (*container, error) {
	c, err := r.container(id)
	if err != nil {
		return nil, err
	}
	if c.status().State != runtimeapi.ContainerState_CONTAINER_RUNNING {
		return nil, fmt.Errorf("container %s is not running", id)
	}
	return c, nil
}
