// Package runfolder keeps the laptop's runs apart: each has a folder, and at most one process that
// works in it. The lock is the kernel's, so that it ends with the process, however that ends. The
// package knows nothing of what a run does.
package runfolder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lockName is the file in a run's folder that its process locks and writes its id into.
const lockName = "lock"

// Folder is a run's folder, held by this process.
type Folder struct {
	// Path of the folder.
	Path string
	lock *os.File
}

// RunningError says that another process holds a run's folder.
type RunningError struct {
	Path string
	PID  int
}

func (e *RunningError) Error() string {
	return fmt.Sprintf("%s is in use by process %d: stop it with `diecast local down`, or choose another --run", e.Path,
		e.PID)
}

// Open makes the folder where it does not exist and locks it. The error of one that is in use is a
// *RunningError.
func Open(path string) (*Folder, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := hold(lock); err != nil {
		defer lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			pid, err := read(path)
			if err != nil {
				return nil, err
			}
			return nil, &RunningError{Path: path, PID: pid}
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if err := write(lock); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &Folder{Path: path, lock: lock}, nil
}

const (
	// looks are how often a lock that somebody holds is asked for, or a process id that is not
	// written yet; lookAgain is the pause between.
	looks     = 20
	lookAgain = 10 * time.Millisecond
)

// hold takes the lock. Who only looks whether a run is up holds it for a moment.
func hold(lock *os.File) (err error) {
	for range looks {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		time.Sleep(lookAgain)
	}
	return err
}

// write the process id over that of an earlier process: the file is empty only until the first.
func write(lock *os.File) error {
	text := strconv.Itoa(os.Getpid()) + "\n"
	_, err := lock.WriteAt([]byte(text), 0)
	return errors.Join(err, lock.Truncate(int64(len(text))))
}

// Close gives the folder up and leaves what is in it.
func (f *Folder) Close() error { return f.lock.Close() }

// nameSyntax is that of a run's name, which is a folder of its own, below the folder of all runs.
var nameSyntax = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Of a run is its folder below that of all runs. The error says what its name may be.
func Of(root, name string) (string, error) {
	if !nameSyntax.MatchString(name) {
		return "", fmt.Errorf("the run's name is %q: up to 63 letters, digits and ._- are allowed, a letter or "+
			"digit first", name)
	}
	return filepath.Join(root, name), nil
}

// Left tells whether a folder is that of a run which is not up: what its files tell is over.
func Left(path string) (bool, error) {
	if _, err := os.Stat(filepath.Join(path, lockName)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	pid, err := Running(path)
	return pid == 0, err
}

// Running tells the process that holds a run's folder, or 0.
func Running(path string) (pid int, err error) {
	lock, err := os.Open(filepath.Join(path, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	for range looks { // who has taken the lock writes its id at once, but not at the same time
		switch err := syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); {
		case err == nil:
			return 0, nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return 0, fmt.Errorf("looking at the lock of %s: %w", path, err)
		}
		if pid, err = read(path); err == nil {
			return pid, nil
		}
		time.Sleep(lookAgain)
	}
	return 0, err
}

func read(path string) (int, error) {
	text, err := os.ReadFile(filepath.Join(path, lockName))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s holds no process id: %w", filepath.Join(path, lockName), err)
	}
	return pid, nil
}

// List are the names of the runs below a folder, in order.
func List(root string) ([]string, error) {
	locks, err := filepath.Glob(filepath.Join(root, "*", lockName))
	names := make([]string, 0, len(locks))
	for _, lock := range locks {
		names = append(names, filepath.Base(filepath.Dir(lock)))
	}
	return names, err
}
