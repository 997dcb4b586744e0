package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"diecast/internal/classicmodels"
)

// quietTime is how long work may take before it shows progress.
const quietTime = 2 * time.Second

// progress shows a count on one line of a terminal; elsewhere it shows nothing.
type progress struct {
	count      atomic.Int64
	stop, done chan struct{}
}

// startProgress shows "what: count unit" from quietTime on until close.
func startProgress(to io.Writer, what, unit string) *progress {
	p := &progress{stop: make(chan struct{}), done: make(chan struct{})}
	file, isFile := to.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		close(p.done)
		return p
	}
	go func() {
		defer close(p.done)
		started := time.Now()
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		const clearLine = "\r\x1b[K"
		defer fmt.Fprint(to, clearLine)
		for {
			select {
			case <-p.stop:
				return
			case <-tick.C:
				if took := time.Since(started); took >= quietTime {
					fmt.Fprintf(to, "%s%s: %s %s, %s", clearLine, what, grouped(p.count.Load()), unit,
						took.Round(time.Second))
				}
			}
		}
	}()
	return p
}

func (p *progress) close() {
	close(p.stop)
	<-p.done
}

// grouped prints 1234567 as 1,234,567.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// counting adds what is written to a progress.
func counting(create classicmodels.Create, shown *progress) classicmodels.Create {
	return func(name string) (io.WriteCloser, error) {
		file, err := create(name)
		return countedFile{file, shown}, err
	}
}

type countedFile struct {
	io.WriteCloser
	shown *progress
}

func (f countedFile) Write(b []byte) (int, error) {
	n, err := f.WriteCloser.Write(b)
	f.shown.count.Add(int64(n))
	return n, err
}

// reader adds what is read to the progress.
func (p *progress) reader(from io.Reader) io.Reader { return countedReader{from, p} }

type countedReader struct {
	io.Reader
	shown *progress
}

func (r countedReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.shown.count.Add(int64(n))
	return n, err
}
