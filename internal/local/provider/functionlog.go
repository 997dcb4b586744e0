package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
)

// functionLog sums what a function counts in its log, as CloudWatch does: lines in its embedded
// metric format. What was in the log before does not count.
type functionLog struct {
	path string

	mutex  sync.Mutex
	offset int64
	sums   map[string]int
}

// followLog counts from the end of the log on, whether or not it is there yet.
func followLog(path string) (*functionLog, error) {
	l := &functionLog{path: path, sums: map[string]int{}}
	info, err := os.Stat(path)
	if err == nil {
		l.offset = info.Size()
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return l, err
}

// count is the sum of a metric so far. With an error it is that of what could be read.
func (l *functionLog) count(metric string) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	err := l.read()
	return l.sums[metric], err
}

// read what was added, up to the last whole line.
func (l *functionLog) read() error {
	file, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(l.offset, io.SeekStart); err != nil {
		return err
	}
	added, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	added = added[:bytes.LastIndexByte(added, '\n')+1]
	l.offset += int64(len(added))
	for line := range bytes.Lines(added) {
		l.add(line)
	}
	return nil
}

// add a line's metrics; one without any, or that is no JSON, has none.
func (l *functionLog) add(line []byte) {
	if !bytes.Contains(line, []byte(`"_aws"`)) {
		return
	}
	var told struct {
		AWS struct {
			CloudWatchMetrics []struct{ Metrics []struct{ Name string } }
		} `json:"_aws"`
	}
	var values map[string]any
	if json.Unmarshal(line, &told) != nil || json.Unmarshal(line, &values) != nil {
		return
	}
	for _, directive := range told.AWS.CloudWatchMetrics {
		for _, metric := range directive.Metrics {
			if value, ok := values[metric.Name].(float64); ok {
				l.sums[metric.Name] += int(value)
			}
		}
	}
}
