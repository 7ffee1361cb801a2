package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// streams is what happens at the far end of an exec, an attach and a port-forward.
type streams processRuntime

var _ streaming.Runtime = &streams{}

func (c *container) execCommand(ctx context.Context, args []string, tty bool) *exec.Cmd {
	security := c.config.Linux.GetSecurityContext()
	enter := []string{"--target", strconv.Itoa(c.pid()), "--mount", "--uts", "--ipc", "--pid", "--root"}
	if user := security.GetRunAsUser().GetValue(); user != 0 {
		group := strconv.FormatInt(security.GetRunAsGroup().GetValue(), 10)
		enter = append(enter, "--setuid", strconv.FormatInt(user, 10), "--setgid", group)
	}
	directory := c.config.WorkingDir
	if directory == "" {
		directory = "/"
	}
	enter = append(enter, "--", "/usr/bin/env", "--ignore-environment", "--chdir="+directory)
	enter = append(enter, c.environment()...)
	if tty && !c.config.Tty {
		enter = append(enter, "TERM=xterm")
	}
	command := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	command.Env = []string{"PATH=" + defaultPath}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	return command
}

// ended turns the end of a command into what the streaming code reports.
func ended(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &utilexec.CodeExitError{Err: err, Code: exitCode(exit.ProcessState)}
	}
	return err
}

func (s *streams) Exec(ctx context.Context, id string, args []string, in io.Reader, out, err io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	c, found := (*processRuntime)(s).running(id)
	if found != nil {
		return found
	}
	command := c.execCommand(ctx, args, tty)
	if tty {
		return execOnTerminal(command, in, out, resize)
	}
	if out != nil {
		command.Stdout = out
	}
	if err != nil {
		command.Stderr = err
	}
	if in != nil {
		stdin, err := command.StdinPipe()
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(stdin, in)
			stdin.Close()
		}()
	}
	return ended(command.Run())
}

func execOnTerminal(command *exec.Cmd, in io.Reader, out io.Writer, resize <-chan remotecommand.TerminalSize) error {
	terminal, err := pty.StartWithAttrs(command, nil, withTerminal(command.SysProcAttr))
	if err != nil {
		return err
	}
	defer terminal.Close()
	go follow(terminal, resize)
	if in != nil {
		go func() { _, _ = io.Copy(terminal, in) }()
	}
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		if out != nil {
			_, _ = io.Copy(out, terminal)
		}
	}()
	err = command.Wait()
	select {
	case <-printed:
	case <-time.After(time.Second):
		// A child of the command still holds the terminal.
	}
	return ended(err)
}

func follow(terminal *os.File, resize <-chan remotecommand.TerminalSize) {
	for size := range resize {
		_ = pty.Setsize(terminal, &pty.Winsize{Cols: size.Width, Rows: size.Height})
	}
}

func (s *streams) Attach(ctx context.Context, id string, in io.Reader, out, err io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	c, found := (*processRuntime)(s).running(id)
	if found != nil {
		return found
	}
	to := &attached{}
	if out != nil {
		to.stdout = out
	}
	if err != nil {
		to.stderr = err
	}
	c.output.attach(to)
	defer c.output.detach(to)
	if c.terminal != nil {
		go follow(c.terminal, resize)
	}
	if in != nil && c.stdin != nil {
		go func() {
			_, _ = io.Copy(c.stdin, in)
			if c.config.StdinOnce && c.terminal == nil {
				c.stdin.Close()
			}
		}()
	}
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	return nil
}

func (s *streams) PortForward(ctx context.Context, id string, port int32, stream io.ReadWriteCloser) error {
	if _, err := (*processRuntime)(s).sandbox(id); err != nil {
		return err
	}
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort(podAddress, strconv.Itoa(int(port))))
	if err != nil {
		return fmt.Errorf("failed to connect to localhost:%d inside the pod: %w", port, err)
	}
	defer connection.Close()
	go func() {
		_, _ = io.Copy(connection, stream)
		_ = connection.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	return err
}

// ExecSync runs what probes and hooks run.
func (r *processRuntime) ExecSync(ctx context.Context, id string, args []string, timeout time.Duration) ([]byte, []byte, error) {
	c, err := r.running(id)
	if err != nil {
		return nil, nil, err
	}
	if timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ctx = limited
	}
	var stdout, stderr bytes.Buffer
	command := c.execCommand(ctx, args, false)
	command.Stdout, command.Stderr = &stdout, &stderr
	err = ended(command.Run())
	if ctx.Err() != nil {
		err = fmt.Errorf("%s timed out after %s", strings.Join(args, " "), timeout)
	}
	return stdout.Bytes(), stderr.Bytes(), err
}
