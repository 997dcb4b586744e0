// Package server runs one server as a child process on this machine: on 127.0.0.1 only, in a folder
// and on a port of its own, with a password of its own where it takes one, until it is stopped or
// the process that started it ends. It knows nothing of what a server serves; every engine of the
// laptop that is a process of its own is a Program of it.
package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"diecast/internal/local/process"
)

const (
	// tailLength is how much of a server's log an error tells, in bytes.
	tailLength = 1500
	// portAttempts bounds how often another port is tried when somebody takes the free one first.
	portAttempts = 5
	// releaseTimeout bounds how often a start is tried again where a killed server's children still
	// hold its folder.
	releaseTimeout = 10 * time.Second
	// releasePause is between two of those starts.
	releasePause = 50 * time.Millisecond
)

// Options of a server. The zero value is a server on a free port with a temporary folder.
type Options struct {
	// Dir keeps data, password, log and process id, for this server alone. What an earlier server
	// of the same folder left running is killed; what it stored is found again. Default: a
	// temporary folder that Stop removes.
	Dir string
	// Log is the folder of the log, which is there. Default: Dir.
	Log string
	// Fresh removes what an earlier server of the same folder stored.
	Fresh bool
	// Port to listen on. Default: a free one.
	Port int
}

// Program is what to run, and what is peculiar to it.
type Program struct {
	// Name in messages; in lower case it begins the names of the log and of the process id's file.
	Name string
	// Temporary is the folder in which a temporary one is made. Default: os.TempDir.
	Temporary string
	// Mode of the server's folder. Default 0700.
	Mode fs.FileMode
	// Initialise fills the data folder, which is not there, for a server that takes Place.Password.
	// It is called until it has succeeded once for a folder. Default: there is nothing to fill, and
	// no password. Place.Port is not chosen yet.
	Initialise func(context.Context, Place) error
	// Command is the server's process. Output and PIDFile are set for it, and Dir where it is
	// empty.
	Command func(Place) process.Command
	// Ready asks whether the server answers. A stranger on the same port must not be taken for it.
	// Default: the program writes its port into Place.PortFile, in one step, once it listens; where
	// Place.Port is 0 it chooses one itself, so that nobody can take it in between.
	Ready func(context.Context, Place) error
	// PortTaken is what the log says when somebody else listens on the port.
	PortTaken string
	// Held is what the log may say while children of a killed server still hold the folder.
	Held []string
}

// Place is where a server runs.
type Place struct {
	Dir      string
	Port     int
	Password string
	name     string
	log      string
}

// Data is the folder of what the server stores.
func (p Place) Data() string { return filepath.Join(p.Dir, "data") }

// PortFile is where a program without Ready tells its port.
func (p Place) PortFile() string { return filepath.Join(p.Dir, p.name+".port") }

// Address is host:port.
func (p Place) Address() string { return net.JoinHostPort(process.Loopback, strconv.Itoa(p.Port)) }

func (p Place) logFile() string { return filepath.Join(cmp.Or(p.log, p.Dir), p.name+".log") }

// Server that was started.
type Server struct {
	program   Program
	place     Place
	temporary bool
	process   *process.Process

	stopping atomic.Bool
	exited   chan struct{}
	err      error // why it ended; read only after exited is closed
}

// Start starts a program and returns once it answers. The error says why it does not, with the end
// of its log. The context bounds the start only. When Start fails, nothing is left running, nor a
// temporary folder.
func Start(ctx context.Context, options Options, program Program) (_ *Server, err error) {
	s := &Server{program: program, place: Place{name: strings.ToLower(program.Name), log: options.Log},
		exited: make(chan struct{})}
	killed, err := s.open(options)
	defer func() {
		if err != nil && s.temporary {
			_ = os.RemoveAll(s.place.Dir) // the error that led here is the one to report
		}
	}()
	if err != nil {
		return nil, fmt.Errorf("prepare %s's folder: %w", program.Name, err)
	}
	released := time.Now().Add(releaseTimeout)
	if err := s.initialise(ctx); err != nil {
		return nil, fmt.Errorf("initialise %s in %s: %w", program.Name, s.place.Dir, err)
	}
	for attempt := 1; ; attempt++ {
		s.place.Port = options.Port
		ourChoice := options.Port == 0 && program.Ready != nil
		if ourChoice {
			if s.place.Port, err = process.FreePort(); err != nil {
				return nil, err
			}
		}
		err = s.run(ctx)
		if err == nil {
			return s, nil
		}
		switch reason := err.Error(); {
		case ctx.Err() != nil:
		case ourChoice && attempt < portAttempts && contains(reason, program.PortTaken):
			continue
		case killed && time.Now().Before(released) && contains(reason, program.Held...):
			select {
			case <-time.After(releasePause):
				continue
			case <-ctx.Done():
				err = fmt.Errorf("%w, while waiting for what holds its folder: %w", ctx.Err(), err)
			}
		}
		return nil, fmt.Errorf("start %s on %s: %w", program.Name, s.place.Address(), err)
	}
}

func contains(text string, parts ...string) bool {
	for _, part := range parts {
		if part != "" && strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// open makes the folder, and tells whether a server of it still ran.
func (s *Server) open(options Options) (killed bool, err error) {
	if options.Dir == "" {
		s.place.Dir, err = os.MkdirTemp(s.program.Temporary, "diecast-"+s.place.name+"-")
		s.temporary = err == nil
	} else { // children have working directories of their own
		s.place.Dir, err = filepath.Abs(options.Dir)
	}
	if err != nil {
		return false, err
	}
	left, err := process.CleanUp(s.place.Dir)
	if err != nil {
		return false, err
	}
	if options.Fresh {
		if err := os.RemoveAll(s.place.Dir); err != nil {
			return false, err
		}
	}
	if err := os.MkdirAll(s.place.Dir, 0o700); err != nil {
		return false, err
	}
	mode := s.program.Mode
	if mode == 0 {
		mode = 0o700
	}
	return len(left) > 0, os.Chmod(s.place.Dir, mode)
}

// initialise has the data folder filled, and keeps the password beside it for a later start.
func (s *Server) initialise(ctx context.Context) error {
	if s.program.Initialise == nil {
		return nil
	}
	file := filepath.Join(s.place.Dir, "password")
	switch password, err := os.ReadFile(file); {
	case err == nil:
		s.place.Password = string(password)
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	s.place.Password = rand.Text()
	// Only a finished initialisation leaves the password's file: what an interrupted one left goes.
	if err := os.RemoveAll(s.place.Data()); err != nil {
		return err
	}
	if err := s.program.Initialise(ctx, s.place); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", []byte(s.place.Password), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// run starts the process and waits until it answers or has ended.
func (s *Server) run(ctx context.Context) error {
	if err := os.Remove(s.place.PortFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	log, err := os.OpenFile(s.place.logFile(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	command := s.program.Command(s.place)
	command.Output, command.PIDFile = log, filepath.Join(s.place.Dir, s.place.name+".pid")
	if command.Dir == "" {
		command.Dir = s.place.Dir
	}
	s.process, err = process.Start(command)
	if err != nil {
		return err
	}
	if err := s.process.WaitReady(ctx, s.ready); err != nil {
		s.process.Kill()
		<-s.process.Exited()
		return fmt.Errorf("%w; its log: %s", err, s.tail())
	}
	go s.watch()
	return nil
}

func (s *Server) ready(ctx context.Context) error {
	if s.program.Ready != nil {
		return s.program.Ready(ctx, s.place)
	}
	content, err := os.ReadFile(s.place.PortFile())
	if err != nil {
		return err
	}
	s.place.Port, err = strconv.Atoi(strings.TrimSpace(string(content)))
	return err
}

// watch notes how the server ended.
func (s *Server) watch() {
	<-s.process.Exited()
	if !s.stopping.Load() {
		ending := s.process.Err()
		if ending == nil {
			ending = errors.New("exit status 0")
		}
		s.err = fmt.Errorf("%s on %s ended by itself: %w", s.program.Name, s.place.Address(), ending)
		if tail := s.tail(); tail != "" {
			s.err = fmt.Errorf("%w; its log: %s", s.err, tail)
		}
	}
	close(s.exited)
}

func (s *Server) tail() string { return process.Tail(s.place.logFile(), tailLength) }

// Answers asks the server for a sign of life: what it takes for its start to be over, or any answer
// over HTTP.
func (s *Server) Answers(ctx context.Context) error {
	if s.program.Ready != nil {
		return s.program.Ready(ctx, s.place)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.place.Address(), nil)
	if err != nil {
		return err
	}
	request.Close = true
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return err
	}
	return response.Body.Close() // whatever it says
}

// Dir is the server's folder.
func (s *Server) Dir() string { return s.place.Dir }

// LogFile is what the program writes to its output.
func (s *Server) LogFile() string { return s.place.logFile() }

// Port where it listens.
func (s *Server) Port() int { return s.place.Port }

// Address is host:port where it listens.
func (s *Server) Address() string { return s.place.Address() }

// Password is the generated one; empty where the program takes none.
func (s *Server) Password() string { return s.place.Password }

// PID is the process id.
func (s *Server) PID() int { return s.process.PID() }

// Exited is closed when the server has ended, whether or not it was asked to; Err tells which.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Err is nil while the server runs and where Stop ended it; else it says how the server ended by
// itself, with the end of its log.
func (s *Server) Err() error {
	select {
	case <-s.exited:
		return s.err
	default:
		return nil
	}
}

// Stop ends the server and waits until it has ended; where it takes longer than its command's grace
// or than the context, it is killed, and the error says so. A temporary folder is removed. Stopping
// twice, or what has ended by itself, does nothing more.
func (s *Server) Stop(ctx context.Context) error {
	select {
	case <-s.process.Exited(): // by itself, or it is stopped already
	default:
		s.stopping.Store(true)
	}
	err := s.process.Stop(ctx)
	if err != nil {
		err = fmt.Errorf("stop %s on %s: %w", s.program.Name, s.place.Address(), err)
	}
	<-s.exited // its log was read
	if s.temporary {
		err = errors.Join(err, os.RemoveAll(s.place.Dir))
	}
	return err
}
