// golang.org/x/crypto/ssh and github.com/pkg/sftp through the gateway.
//
// Behind the scenes: authentication `none`, then `password`. Windows are 2 MiB, packets 32 KiB. All sessions are
// channels of one connection, on goroutines of their own. SFTP is version 3: Rename is the plain request, reads and
// writes of a file are many requests at once.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

const (
	limit     = 30 * time.Second
	said      = `printf 'out \303\274\n'; printf 'err\n' >&2; exit 7`
	big       = "seq 1 5000000 | head -c 33554432"
	bigLength = 33554432
	sessions  = 10
)

var mebibyte = func() []byte {
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i * 31 >> 3)
	}
	return data
}()

// skip says that a check is not to be tried.
type skip string

func (why skip) Error() string { return string(why) }

func connect(password string) (*ssh.Client, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(os.Getenv("E2E_SSH_HOST_KEY")))
	if err != nil {
		return nil, fmt.Errorf("E2E_SSH_HOST_KEY: %w", err)
	}
	config := &ssh.ClientConfig{
		User:              os.Getenv("E2E_SSH_USER"),
		Auth:              []ssh.AuthMethod{ssh.Password(password)},
		HostKeyCallback:   ssh.FixedHostKey(key),
		HostKeyAlgorithms: []string{key.Type()},
		Timeout:           limit,
	}
	return ssh.Dial("tcp", net.JoinHostPort(os.Getenv("E2E_SSH_HOST"), os.Getenv("E2E_SSH_PORT")), config)
}

func token() (string, error) {
	if file := os.Getenv("DOORWARD_TOKEN_FILE"); file != "" {
		token, err := os.ReadFile(file)
		return strings.TrimSpace(string(token)), err
	}
	return os.Getenv("E2E_SSH_PASSWORD"), nil
}

func expect(expected, actual any) error {
	if !reflect.DeepEqual(expected, actual) {
		return fmt.Errorf("expected %.200q, got %.200q", fmt.Sprint(expected), fmt.Sprint(actual))
	}
	return nil
}

// result is what a command wrote and its exit status.
type result struct {
	out, err string
	status   int
}

func run(client *ssh.Client, command string, input io.Reader) (result, error) {
	session, err := client.NewSession()
	if err != nil {
		return result{}, err
	}
	defer session.Close()
	var out, complaint bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = input, &out, &complaint
	status, err := exitStatus(session.Run(command))
	return result{out.String(), complaint.String(), status}, err
}

func exitStatus(err error) (int, error) {
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		return exit.ExitStatus(), nil
	}
	return 0, err
}

func wrongPassword(*ssh.Client) error {
	client, err := connect("wrong")
	if err == nil {
		client.Close()
		return errors.New("let in")
	}
	if !strings.Contains(err.Error(), "unable to authenticate") {
		return err
	}
	return nil
}

func exec(client *ssh.Client) error {
	got, err := run(client, said, nil)
	if err != nil {
		return err
	}
	if err := expect(result{"out ü\n", "err\n", 7}, got); err != nil {
		return err
	}
	got, err = run(client, "true", nil)
	return errors.Join(err, expect(result{}, got))
}

func stdin(client *ssh.Client) error {
	got, err := run(client, "cat", bytes.NewReader(mebibyte))
	return errors.Join(err, expect(result{string(mebibyte), "", 0}, got))
}

func bigOutput(client *ssh.Client) error {
	expected := sha256.New()
	var text strings.Builder
	for i := 1; text.Len() < bigLength; i++ {
		fmt.Fprintln(&text, i)
	}
	io.WriteString(expected, text.String()[:bigLength])
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	digest := sha256.New()
	session.Stdout = digest
	if err := session.Run(big); err != nil {
		return err
	}
	return expect(expected.Sum(nil), digest.Sum(nil))
}

func readUntil(out io.Reader, text string) (string, error) {
	var seen []byte
	for buffer := make([]byte, 4096); !bytes.Contains(seen, []byte(text)); {
		n, err := out.Read(buffer)
		seen = append(seen, buffer[:n]...)
		if err != nil {
			return string(seen), fmt.Errorf("the shell ended after %.300q: %w", seen, err)
		}
	}
	return string(seen), nil
}

func pty(client *ssh.Client) error {
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	in, err := session.StdinPipe()
	if err != nil {
		return err
	}
	out, err := session.StdoutPipe()
	if err != nil {
		return err
	}
	modes := ssh.TerminalModes{ssh.ECHO: 0, ssh.TTY_OP_ISPEED: 38400, ssh.TTY_OP_OSPEED: 38400}
	if err := errors.Join(session.RequestPty("dumb", 40, 100, modes), session.Shell()); err != nil {
		return err
	}
	// The size is changed once the prompt is there: before it, readline reads the size and sets what it has read.
	fmt.Fprint(in, "PS1=rea''dy-; stty size; echo first-$((6*7))\n")
	seen, err := readUntil(out, "ready-")
	if err := errors.Join(err, expect(true, strings.Contains(seen, "40 100"))); err != nil {
		return err
	}
	if err := session.WindowChange(50, 120); err != nil {
		return err
	}
	fmt.Fprint(in, "stty size; echo second-$((6*8))\n")
	seen, err = readUntil(out, "second-48")
	if err := errors.Join(err, expect(true, strings.Contains(seen, "50 120"))); err != nil {
		return err
	}
	fmt.Fprint(in, "exit 3\n")
	io.Copy(io.Discard, out)
	status, err := exitStatus(session.Wait())
	return errors.Join(err, expect(3, status))
}

func channels(client *ssh.Client) error {
	begun := time.Now()
	var group sync.WaitGroup
	failures := make([]error, sessions)
	for i := range sessions {
		group.Go(func() {
			input := fmt.Sprintf("input %d\n", i)
			got, err := run(client, fmt.Sprintf("sleep 1; echo channel %d; cat", i), strings.NewReader(input))
			failures[i] = errors.Join(err, expect(result{fmt.Sprintf("channel %d\n%s", i, input), "", 0}, got))
		})
	}
	group.Wait()
	return errors.Join(errors.Join(failures...), expect(true, time.Since(begun) < sessions*time.Second))
}

func files(client *ssh.Client) error {
	if os.Getenv("E2E_SSH_SFTP") == "skip" {
		return skip("E2E_SSH_SFTP")
	}
	folder := os.Getenv("E2E_SSH_DIRECTORY")
	if folder == "" {
		folder = "."
	}
	base := fmt.Sprintf("e2e-ssh-go-%d", os.Getpid())
	name := folder + "/" + base
	server, err := sftp.NewClient(client)
	if err != nil {
		return err
	}
	defer server.Close()
	put, err := server.Create(name)
	if err != nil {
		return err
	}
	if _, err := put.ReadFrom(bytes.NewReader(mebibyte)); err != nil {
		return err
	}
	if err := errors.Join(put.Close(), server.Rename(name, name+".new")); err != nil {
		return err
	}
	get, err := server.Open(name + ".new")
	if err != nil {
		return err
	}
	defer get.Close()
	back, err := io.ReadAll(get)
	if err := errors.Join(err, expect(mebibyte, back)); err != nil {
		return err
	}
	if err := errors.Join(listed(server, folder, base, 1), server.Remove(name+".new")); err != nil {
		return err
	}
	if _, err := server.Stat(name); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the file is still there, or %w", err)
	}
	return listed(server, folder, base, 0)
}

// listed expects so many entries of the folder to begin with the prefix.
func listed(server *sftp.Client, folder, prefix string, count int) error {
	entries, err := server.ReadDir(folder)
	found := 0
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) {
			found++
		}
	}
	return errors.Join(err, expect(count, found))
}

func forward(client *ssh.Client) error {
	expected := os.Getenv("E2E_SSH_FORWARD")
	if expected == "skip" {
		return skip("E2E_SSH_FORWARD")
	}
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer echo.Close()
	go func() {
		if caller, err := echo.Accept(); err == nil {
			io.Copy(caller, caller)
			caller.Close()
		}
	}()
	conn, err := client.Dial("tcp", echo.Addr().String())
	var refused *ssh.OpenChannelError
	if expected == "refused" {
		if errors.As(err, &refused) && refused.Reason == ssh.Prohibited {
			return nil
		}
		return fmt.Errorf("not refused: %v", err)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		conn.Write(mebibyte)
		conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	back, err := io.ReadAll(conn)
	return errors.Join(err, expect(mebibyte, back))
}

// inTime gives up on a check that hangs.
func inTime(check func(*ssh.Client) error, client *ssh.Client) error {
	done := make(chan error, 1)
	go func() { done <- check(client) }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return fmt.Errorf("not done after %s", limit)
	}
}

func main() {
	password, err := token()
	if err != nil {
		fmt.Printf("FAIL token: %v\n", err)
		os.Exit(1)
	}
	client, err := connect(password)
	if err != nil {
		fmt.Printf("FAIL connect: %v\n", err)
		os.Exit(1)
	}
	defer client.Close()
	failed := false
	for _, check := range []struct {
		name string
		run  func(*ssh.Client) error
	}{
		{"wrong-password", wrongPassword}, {"exec", exec}, {"stdin", stdin}, {"big-output", bigOutput}, {"pty", pty},
		{"channels", channels}, {"sftp", files}, {"forward", forward},
	} {
		err := inTime(check.run, client)
		var why skip
		switch {
		case err == nil:
			fmt.Println("ok", check.name)
		case errors.As(err, &why):
			fmt.Printf("skip %s: %s\n", check.name, why)
		default:
			failed = true
			fmt.Printf("FAIL %s: %s\n", check.name, strings.ReplaceAll(fmt.Sprintf("%.400s", err), "\n", " "))
		}
	}
	if failed {
		os.Exit(1)
	}
}
