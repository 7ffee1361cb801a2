package node

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// container is a process of this machine with a process tree, a host name and a root folder of its own.
type container struct {
	id          string
	sandbox     *sandbox
	target      *container
	config      *runtimeapi.ContainerConfig
	folder, log string
	created     int64
	output      output
	done        chan struct{}

	mutex             sync.Mutex
	command           *exec.Cmd
	stdin             io.WriteCloser
	terminal          *os.File
	started, finished int64
	exitCode          int32
	reason, message   string
}

// arguments is the command line. An image has none, so a container without one waits, or is a shell if it is listened to.
func (c *container) arguments() []string {
	if args := append(append([]string{}, c.config.Command...), c.config.Args...); len(args) > 0 {
		return args
	}
	if c.config.Stdin {
		return []string{"/bin/sh"}
	}
	return []string{"/bin/sleep", "infinity"}
}

func (c *container) environment() []string {
	env := []string{"PATH=" + defaultPath, "HOME=/root", "HOSTNAME=" + c.sandbox.config.Hostname}
	if c.config.Tty {
		env = append(env, "TERM=xterm")
	}
	for _, pair := range c.config.Envs {
		env = append(env, pair.Key+"="+string(pair.Value))
	}
	return env
}

func (c *container) spec() initSpec {
	security := c.config.Linux.GetSecurityContext()
	spec := initSpec{
		Root: filepath.Join(c.folder, "root"), Hostname: c.sandbox.config.Hostname, Args: c.arguments(), Env: c.environment(),
		Directory: c.config.WorkingDir, ReadOnly: security.GetReadonlyRootfs(), User: int(security.GetRunAsUser().GetValue()),
		Group: int(security.GetRunAsGroup().GetValue()),
	}
	if spec.Hostname == "" {
		spec.Hostname, _ = os.Hostname()
	}
	for _, group := range security.GetSupplementalGroups() {
		spec.Groups = append(spec.Groups, int(group))
	}
	for _, m := range c.config.Mounts {
		spec.Binds = append(spec.Binds, bind{From: m.HostPath, To: m.ContainerPath, ReadOnly: m.Readonly})
	}
	return spec
}

// start returns once the process has become the container's program, or with the reason why it has not.
func (c *container) start() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	command, said, err := c.prepare()
	if err != nil {
		return err
	}
	if err := c.output.open(c.log); err != nil {
		return err
	}
	readers, err := c.connect(command)
	for _, file := range command.ExtraFiles {
		file.Close()
	}
	if err != nil {
		return err
	}
	c.command, c.started = command, time.Now().UnixNano()
	go c.wait(readers)
	line, _ := bufio.NewReader(said).ReadString('\n')
	said.Close()
	if line != "ok\n" {
		c.reason, c.message = "StartError", "failed to start: "+strings.TrimSpace(line)
		return errors.New(c.message)
	}
	return nil
}

// prepare makes the command and the pipe on which [Init] says how it went.
func (c *container) prepare() (*exec.Cmd, *os.File, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	spec := c.spec()
	if err := os.MkdirAll(spec.Root, 0o755); err != nil {
		return nil, nil, err
	}
	program := filepath.Join(c.folder, InitName)
	if err := os.Symlink(executable, program); err != nil {
		return nil, nil, err
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(filepath.Join(c.folder, "spec.json"), text, 0o600); err != nil {
		return nil, nil, err
	}
	said, say, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	command := exec.Command(program, filepath.Join(c.folder, "spec.json"))
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: c.namespaces()}
	if c.target != nil {
		command = exec.Command("nsenter", "--target", fmt.Sprint(c.target.pid()), "--pid", "--", program, command.Args[1])
		command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: c.namespaces()}
	}
	command.Env = []string{"PATH=" + defaultPath}
	command.ExtraFiles = []*os.File{say}
	return command, said, nil
}

func (c *container) namespaces() uintptr {
	options := c.config.Linux.GetSecurityContext().GetNamespaceOptions()
	flags := uintptr(syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS)
	if options.GetIpc() != runtimeapi.NamespaceMode_NODE {
		flags |= syscall.CLONE_NEWIPC
	}
	if mode := options.GetPid(); mode != runtimeapi.NamespaceMode_NODE && mode != runtimeapi.NamespaceMode_TARGET {
		flags |= syscall.CLONE_NEWPID
	}
	return flags
}

// connect starts the command with its streams towards the log, and returns what is done when they have ended.
func (c *container) connect(command *exec.Cmd) (*sync.WaitGroup, error) {
	var readers sync.WaitGroup
	copyTo := func(stream string, from io.Reader) {
		readers.Add(1)
		go func() {
			defer readers.Done()
			c.output.copy(stream, from)
		}()
	}
	if c.config.Tty {
		terminal, err := pty.StartWithAttrs(command, nil, withTerminal(command.SysProcAttr))
		if err != nil {
			return nil, err
		}
		c.terminal, c.stdin = terminal, terminal
		copyTo("stdout", terminal)
		return &readers, nil
	}
	stdout, outErr := command.StdoutPipe()
	stderr, errErr := command.StderrPipe()
	err := errors.Join(outErr, errErr)
	if c.config.Stdin && err == nil {
		c.stdin, err = command.StdinPipe()
	}
	if err == nil {
		err = command.Start()
	}
	if err == nil {
		copyTo("stdout", stdout)
		copyTo("stderr", stderr)
	}
	return &readers, err
}

func withTerminal(attributes *syscall.SysProcAttr) *syscall.SysProcAttr {
	attributes.Setctty = true
	return attributes
}

func (c *container) wait(readers *sync.WaitGroup) {
	readers.Wait()
	_ = c.command.Wait()
	c.output.close()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.finished, c.exitCode = time.Now().UnixNano(), int32(exitCode(c.command.ProcessState))
	if c.reason == "" {
		c.reason = "Completed"
		if c.exitCode != 0 {
			c.reason = "Error"
		}
	}
	close(c.done)
}

// exitCode is what a shell would say.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// pid is the container's first process; with the process tree of another container that is a child of what was started.
func (c *container) pid() int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	pid := c.command.Process.Pid
	if c.target != nil {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		_, _ = fmt.Sscan(string(children), &pid)
	}
	return pid
}

// stop asks the process to end, and kills it with all its children after the time of grace.
func (c *container) stop(grace time.Duration) {
	c.mutex.Lock()
	command := c.command
	c.mutex.Unlock()
	if command == nil {
		return
	}
	if grace > 0 {
		c.signal(command, syscall.SIGTERM)
		select {
		case <-c.done:
			return
		case <-time.After(grace):
		}
	}
	c.signal(command, syscall.SIGKILL)
	select {
	case <-c.done:
	case <-time.After(5 * time.Second):
	}
}

// signal reaches the process group only while its leader is not waited for: the id may be another's after that.
func (c *container) signal(command *exec.Cmd, signal syscall.Signal) {
	select {
	case <-c.done:
	default:
		_ = syscall.Kill(-command.Process.Pid, signal)
	}
}

func (c *container) status() *runtimeapi.ContainerStatus {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	state := runtimeapi.ContainerState_CONTAINER_RUNNING
	switch {
	case c.finished != 0:
		state = runtimeapi.ContainerState_CONTAINER_EXITED
	case c.command == nil:
		state = runtimeapi.ContainerState_CONTAINER_CREATED
	}
	return &runtimeapi.ContainerStatus{
		Id: c.id, Metadata: c.config.Metadata, State: state, CreatedAt: c.created, StartedAt: c.started,
		FinishedAt: c.finished, ExitCode: c.exitCode, Image: c.config.Image, ImageRef: c.config.Image.GetImage(),
		ImageId: c.config.Image.GetImage(), Reason: c.reason, Message: c.message, Labels: c.config.Labels,
		Annotations: c.config.Annotations, Mounts: c.config.Mounts, LogPath: c.log,
	}
}
