// Package awsapi runs one server of the AWS APIs as a child process on this machine: on 127.0.0.1 only, with a folder and a
// port of its own, until it is stopped or the process that started it ends. It knows nothing of what a server serves.
//
// A program chooses its port itself when any will do and tells it in a file, so that nobody can take the port between the
// choice and the start; the file appears once the program listens.
package awsapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"diecast/internal/local/process"
)

// Defaults of Options.
const (
	DefaultRegion  = "us-east-1"
	DefaultAccount = "000000000000"
)

// tailLength is how much of a failed program's log an error tells, in bytes.
const tailLength = 1000

// Options of a server. The zero value is a server on a free port with a temporary folder.
type Options struct {
	// Dir keeps the log and the process id, for this server alone. What an earlier server of the same folder left running is
	// killed. Default: a temporary folder that Stop removes.
	Dir string
	// Port to listen on. Default: a free one.
	Port int
	// Account and Region stand in the ARNs. Defaults: DefaultAccount and DefaultRegion.
	Account, Region string
	// Credentials that Config carries; no engine checks them. Default: a fixed pair that is good for nothing.
	Credentials aws.CredentialsProvider
}

// Program is what to run.
type Program struct {
	// Name of the program, for files and messages.
	Name string
	// Path of the executable.
	Path string
	// Arguments; the port (0: any) and the file that takes the port are appended.
	Arguments []string
	// Environment as NAME=value, and no more than that.
	Environment []string
}

// Server is a running program.
type Server struct {
	options   Options
	name      string
	temporary bool
	port      int
	process   *process.Process
}

// Start starts a program and returns once it listens. The context bounds the start only.
func Start(ctx context.Context, options Options, prepare func(Options) (Program, error)) (_ *Server, err error) {
	s := &Server{options: options.withDefaults()}
	program, err := prepare(s.options)
	if err != nil {
		return nil, err
	}
	s.name = program.Name
	if s.options.Dir == "" {
		s.temporary = true
		s.options.Dir, err = os.MkdirTemp("", "diecast-"+s.name+"-")
	} else if s.options.Dir, err = filepath.Abs(s.options.Dir); err == nil {
		err = os.MkdirAll(s.options.Dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("make %s's folder: %w", s.name, err)
	}
	defer func() {
		if err != nil && s.temporary {
			_ = os.RemoveAll(s.options.Dir) // the error that led here is the one to report
		}
	}()
	if err := s.run(ctx, program); err != nil {
		return nil, fmt.Errorf("start %s on %s:%d: %w; its log: %s", s.name, process.Loopback, s.options.Port, err, process.Tail(s.LogFile(), tailLength))
	}
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.Account == "" {
		o.Account = DefaultAccount
	}
	if o.Region == "" {
		o.Region = DefaultRegion
	}
	if o.Credentials == nil {
		o.Credentials = credentials.NewStaticCredentialsProvider("laptop", "laptop", "")
	}
	return o
}

func (s *Server) run(ctx context.Context, program Program) error {
	if _, err := process.CleanUp(s.options.Dir); err != nil {
		return err
	}
	portFile := filepath.Join(s.options.Dir, s.name+".port")
	if err := os.Remove(portFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	log, err := os.Create(s.LogFile())
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	s.process, err = process.Start(process.Command{
		Path: program.Path, Arguments: append(program.Arguments, strconv.Itoa(s.options.Port), portFile),
		Dir: s.options.Dir, Environment: append([]string{"TMPDIR=" + s.options.Dir, "TZ=UTC"}, program.Environment...),
		Output: log, PIDFile: filepath.Join(s.options.Dir, s.name+".pid"),
	})
	if err != nil {
		return err
	}
	err = s.process.WaitReady(ctx, func(context.Context) error {
		content, err := os.ReadFile(portFile)
		if err != nil {
			return err
		}
		s.port, err = strconv.Atoi(strings.TrimSpace(string(content)))
		return err
	})
	if err != nil {
		s.process.Kill()
		<-s.process.Exited()
	}
	return err
}

// Endpoint is the URL that AWS_ENDPOINT_URL and its kin take.
func (s *Server) Endpoint() string {
	return "http://" + net.JoinHostPort(process.Loopback, strconv.Itoa(s.port))
}

// Port where it listens.
func (s *Server) Port() int { return s.port }

// PID is the process id.
func (s *Server) PID() int { return s.process.PID() }

// LogFile is what the program writes to its output.
func (s *Server) LogFile() string { return filepath.Join(s.options.Dir, s.name+".log") }

// Exited is closed when the program has ended, whether or not it was asked to.
func (s *Server) Exited() <-chan struct{} { return s.process.Exited() }

// Config points a client of the SDK at the server.
func (s *Server) Config() aws.Config {
	return aws.Config{Region: s.options.Region, Credentials: s.options.Credentials, BaseEndpoint: aws.String(s.Endpoint())}
}

// Stop ends the server and waits until it has ended; what it stored is gone. A temporary folder is removed. Stopping twice
// does nothing.
func (s *Server) Stop(ctx context.Context) error {
	err := s.process.Stop(ctx)
	if s.temporary {
		err = errors.Join(err, os.RemoveAll(s.options.Dir))
	}
	return err
}
