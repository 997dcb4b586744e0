// Package kernel ends jsii's Node process without the one line that means nothing. It does not know
// jsii: it is given the call that ends it.
package kernel

import (
	"io"
	"os"
	"regexp"
)

// secondWait is what jsii says on stderr when two of its goroutines have waited for its Node
// process and this one came second: the other has had the exit status, so it tells nothing of a
// failure. jsii ends it with no line feed (v1.140.0, internal/kernel/process/process.go).
var secondWait = regexp.MustCompile(`Runtime process exited abnormally: wait\w*: no child processes`)

// Close calls end, which is jsii.Close, and passes on what is written to os.Stderr meanwhile, but
// for secondWait. The wait that comes second may speak when end is over: os.Stderr is of no use
// afterwards, so this is the last call of a program.
func Close(end func()) {
	read, write, err := os.Pipe()
	if err != nil {
		end()
		return
	}
	stderr := os.Stderr
	os.Stderr = write
	written := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(read)
		written <- all
	}()
	end()
	write.Close()
	_, _ = stderr.Write(secondWait.ReplaceAll(<-written, nil))
}
