package node

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// longestLine is where a line of the log is cut, as container runtimes do.
const longestLine = 16 << 10

// output is what a container prints: a log in the form that the kubelet reads, and those who are attached.
type output struct {
	mutex    sync.Mutex
	file     *os.File
	attached map[*attached]struct{}
}

type attached struct{ stdout, stderr io.Writer }

func (o *output) open(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.file != nil {
		o.file.Close()
	}
	o.file = file
	return nil
}

func (o *output) close() {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.file != nil {
		o.file.Close()
		o.file = nil
	}
}

func (o *output) attach(to *attached) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.attached == nil {
		o.attached = map[*attached]struct{}{}
	}
	o.attached[to] = struct{}{}
}

func (o *output) detach(to *attached) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	delete(o.attached, to)
}

// copy reads a stream to its end.
func (o *output) copy(stream string, from io.Reader) {
	buffer, line := make([]byte, 32<<10), []byte(nil)
	for {
		n, err := from.Read(buffer)
		line = append(line, buffer[:n]...)
		line = o.write(stream, buffer[:n], line, err != nil)
		if err != nil {
			return
		}
	}
}

// write passes on what was read, logs the lines that are complete, and returns the rest.
func (o *output) write(stream string, read, line []byte, last bool) []byte {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	for to := range o.attached {
		writer := to.stdout
		if stream == "stderr" {
			writer = to.stderr
		}
		if writer == nil || len(read) == 0 {
			continue
		}
		if _, err := writer.Write(read); err != nil {
			delete(o.attached, to)
		}
	}
	now := time.Now().Format(time.RFC3339Nano)
	for {
		end := bytes.IndexByte(line, '\n')
		switch {
		case end >= 0 && end <= longestLine:
			o.log(now, stream, "F", line[:end])
			line = line[end+1:]
		case len(line) > longestLine:
			o.log(now, stream, "P", line[:longestLine])
			line = line[longestLine:]
		case last && len(line) > 0:
			o.log(now, stream, "F", line)
			return nil
		default:
			return line
		}
	}
}

func (o *output) log(now, stream, tag string, line []byte) {
	if o.file != nil {
		fmt.Fprintf(o.file, "%s %s %s %s\n", now, stream, tag, line)
	}
}
