package node

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// InitName is the name by which this program makes itself into a container.
const InitName = "container-init"

// initSpec is what [Init] has to do.
type initSpec struct {
	Root, Hostname, Directory string
	Args, Env                 []string
	Binds                     []bind
	User, Group               int
	Groups                    []int
	ReadOnly                  bool
}

type bind struct {
	From, To string
	ReadOnly bool
}

// Init runs in the container's new namespaces, turns its root folder into `/` and becomes the container's program. It
// says `ok` on descriptor 3 just before, or why not.
func Init() {
	runtime.LockOSThread()
	say := os.NewFile(3, "say")
	unix.CloseOnExec(3)
	program, spec, err := enter()
	if err == nil {
		fmt.Fprintln(say, "ok")
		err = syscall.Exec(program, spec.Args, spec.Env)
	}
	fmt.Fprintln(say, strings.ReplaceAll(err.Error(), "\n", " "))
	os.Exit(128)
}

func enter() (string, *initSpec, error) {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		return "", nil, err
	}
	var spec initSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return "", nil, err
	}
	if err := spec.makeRoot(); err != nil {
		return "", nil, err
	}
	if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
		return "", nil, err
	}
	if spec.Directory == "" {
		spec.Directory = "/"
	}
	if err := os.MkdirAll(spec.Directory, 0o755); err != nil {
		return "", nil, err
	}
	if err := os.Chdir(spec.Directory); err != nil {
		return "", nil, err
	}
	if err := spec.becomeUser(); err != nil {
		return "", nil, err
	}
	// The mark does not survive a change of user.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return "", nil, err
	}
	os.Clearenv()
	for _, pair := range spec.Env {
		name, value, _ := strings.Cut(pair, "=")
		os.Setenv(name, value)
	}
	program, err := exec.LookPath(spec.Args[0])
	return program, &spec, err
}

func (s *initSpec) becomeUser() error {
	if err := syscall.Setgroups(s.Groups); err != nil {
		return err
	}
	if err := syscall.Setgid(s.Group); err != nil {
		return err
	}
	return syscall.Setuid(s.User)
}

func (s *initSpec) path(inside string) string { return filepath.Join(s.Root, inside) }

func (s *initSpec) makeRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount(s.Root, s.Root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	for _, step := range []func() error{s.programs, s.settings, s.devices, s.binds} {
		if err := step(); err != nil {
			return err
		}
	}
	if s.ReadOnly {
		if err := unix.Mount("", s.Root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return err
		}
	}
	if err := os.Chdir(s.Root); err != nil {
		return err
	}
	// The old root lies below the new one in the same place, until it is taken away.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	return unix.Unmount(".", unix.MNT_DETACH)
}

// programs are this machine's, not to be written.
func (s *initSpec) programs() error {
	for _, folder := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ssl", "/etc/alternatives"} {
		if target, err := os.Readlink(folder); err == nil {
			if err := os.Symlink(target, s.path(folder)); err != nil {
				return err
			}
			continue
		}
		if _, err := os.Stat(folder); err != nil {
			continue
		}
		if err := s.bind(bind{From: folder, To: folder, ReadOnly: true}); err != nil {
			return err
		}
	}
	return nil
}

func (s *initSpec) settings() error {
	for _, folder := range []string{"/etc", "/root", "/home", "/run", "/var/log", "/var/lib", "/var/run", "/opt", "/srv", "/mnt", "/sys"} {
		if err := os.MkdirAll(s.path(folder), 0o755); err != nil {
			return err
		}
	}
	for _, folder := range []string{"/tmp", "/var/tmp"} {
		if err := os.MkdirAll(s.path(folder), 0o777); err != nil {
			return err
		}
		if err := os.Chmod(s.path(folder), 0o777|os.ModeSticky); err != nil {
			return err
		}
	}
	for _, file := range []string{"passwd", "group", "nsswitch.conf", "ld.so.cache", "services", "protocols", "hosts", "localtime", "os-release"} {
		text, err := os.ReadFile("/etc/" + file)
		if err != nil {
			continue
		}
		if err := os.WriteFile(s.path("/etc/"+file), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (s *initSpec) devices() error {
	for _, m := range []struct {
		kind, to, options string
		flags             uintptr
	}{
		{"proc", "/proc", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
		{"tmpfs", "/dev", "mode=755,size=64k", unix.MS_NOSUID},
		{"devpts", "/dev/pts", "newinstance,ptmxmode=0666,mode=0620", unix.MS_NOSUID | unix.MS_NOEXEC},
		{"tmpfs", "/dev/shm", "mode=1777,size=64m", unix.MS_NOSUID | unix.MS_NODEV},
	} {
		if err := os.MkdirAll(s.path(m.to), 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, s.path(m.to), m.kind, m.flags, m.options); err != nil {
			return fmt.Errorf("%s: %w", m.to, err)
		}
	}
	for _, device := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := s.bind(bind{From: "/dev/" + device, To: "/dev/" + device}); err != nil {
			return err
		}
	}
	for link, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
	} {
		if err := os.Symlink(target, s.path("/dev/"+link)); err != nil {
			return err
		}
	}
	return nil
}

func (s *initSpec) binds() error {
	for _, b := range s.Binds {
		if err := s.bind(b); err != nil {
			return err
		}
	}
	return nil
}

func (s *initSpec) bind(b bind) error {
	info, err := os.Stat(b.From)
	if err != nil {
		return err
	}
	to := s.path(b.To)
	if info.IsDir() {
		err = os.MkdirAll(to, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
		var file *os.File
		if file, err = os.OpenFile(to, os.O_CREATE|os.O_RDONLY, 0o644); err == nil {
			file.Close()
		}
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(b.From, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount of %s: %w", b.To, err)
	}
	if b.ReadOnly {
		return unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	return nil
}
