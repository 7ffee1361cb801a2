package node

import (
	"os"
	"path/filepath"
	"strings"

	cadvisorapi "github.com/google/cadvisor/lib/model"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/cadvisor"
	cadvisortest "k8s.io/kubernetes/pkg/kubelet/cadvisor/testing"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
)

// machine takes the place of cadvisor, which would watch the cgroups of the whole machine. It has room for every pod.
type machine struct{ cadvisortest.Fake }

var _ cadvisor.Interface = &machine{}

func (machine) MachineInfo(klog.Logger) (*cadvisorapi.MachineInfo, error) {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	boot := strings.TrimSpace(string(id))
	return &cadvisorapi.MachineInfo{NumCores: 64, MemoryCapacity: 256 << 30, MachineID: boot, BootID: boot}, nil
}

func (machine) VersionInfo() (*cadvisorapi.VersionInfo, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	return &cadvisorapi.VersionInfo{KernelVersion: unix.ByteSliceToString(name.Release[:]), ContainerOsVersion: "Linux"}, nil
}

// nodeOS keeps the links to container logs, which the kubelet makes below /var/log/containers, in the node's own folder.
type nodeOS struct {
	kubecontainer.RealOS
	logs string
}

const machineLogs = "/var/log/containers"

func (o nodeOS) own(path string) string {
	if path == machineLogs || strings.HasPrefix(path, machineLogs+"/") {
		return filepath.Join(o.logs, strings.TrimPrefix(path, machineLogs))
	}
	return path
}

func (o nodeOS) MkdirAll(path string, mode os.FileMode) error {
	return o.RealOS.MkdirAll(o.own(path), mode)
}
func (o nodeOS) Symlink(target, link string) error     { return o.RealOS.Symlink(target, o.own(link)) }
func (o nodeOS) Stat(path string) (os.FileInfo, error) { return o.RealOS.Stat(o.own(path)) }
func (o nodeOS) Remove(path string) error              { return o.RealOS.Remove(o.own(path)) }
func (o nodeOS) RemoveAll(path string) error           { return o.RealOS.RemoveAll(o.own(path)) }
func (o nodeOS) Glob(pattern string) ([]string, error) { return o.RealOS.Glob(o.own(pattern)) }
