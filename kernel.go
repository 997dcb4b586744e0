package main

import (
	"io"
	"os"
	"regexp"

	"github.com/aws/jsii-runtime-go"
)

// secondWait is what jsii says on stderr when two of its goroutines have waited for its Node
// process and this one came second: the other has had the exit status, so it tells nothing of a
// failure. jsii ends it with no line feed (v1.140.0, internal/kernel/process/process.go).
var secondWait = regexp.MustCompile(`Runtime process exited abnormally: wait\w*: no child processes`)

// closeKernel ends jsii's Node process and passes on what is written to os.Stderr meanwhile, but
// for secondWait. os.Stderr is of no use afterwards: it is the last call of the program.
func closeKernel() {
	read, write, err := os.Pipe()
	if err != nil {
		jsii.Close()
		return
	}
	stderr := os.Stderr
	os.Stderr = write
	written := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(read)
		written <- all
	}()
	jsii.Close()
	write.Close()
	_, _ = stderr.Write(secondWait.ReplaceAll(<-written, nil))
}
