// Package runfolder keeps the laptop's runs apart: each has a folder, and at most one process that
// works in it. The lock is the kernel's, so that it ends with the process, however that ends.
// Folder and lock are their owner's alone. The package knows nothing of what a run does.
//
// Whoever stops a run signals the process that its lock names. A file can name any process: one
// that the kernel does not know for the holder of the lock is named by nobody here.
package runfolder

import (
	"errors"
	"fmt"
	"io"
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

// settleWithin is how long a lock may take to name its holder, and who only looks at it to let go
// of it. A test shortens it.
var settleWithin = 2 * time.Second

const settlePause = 5 * time.Millisecond

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

// Open makes the folder where it does not exist, for this user alone, and locks it. The error of
// one that is in use is a *RunningError. Files of these names, which tell of a run while it is up,
// are removed before anybody hears of this one: whoever had the folder before may have been killed.
func Open(path string, telling ...string) (*Folder, error) {
	for deadline := time.Now().Add(settleWithin); ; time.Sleep(settlePause) {
		folder, err := open(path, telling)
		if !removedMeanwhile(err) || time.Now().After(deadline) {
			return folder, err
		}
	}
}

// removedMeanwhile says whether somebody who gave the folder up may have removed it during an open.
// MkdirAll finds that it exists where it is gone when it looks whether it is a folder.
func removedMeanwhile(err error) bool {
	return errors.Is(err, errRemoved) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist)
}

// errRemoved says that a lock was taken whose file is no longer the folder's.
var errRemoved = errors.New("the folder has been removed meanwhile")

func open(path string, telling []string) (*Folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	folder, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !own(folder) {
		return nil, fmt.Errorf("%s belongs to another user, who could read and change the run: choose another --run, "+
			"or remove it", path)
	}
	lock, err := openLock(path, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, err
	}
	if err := take(path, lock); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err := hold(path, lock, telling); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &Folder{Path: path, lock: lock}, nil
}

// hold has a lock, which was taken, name this process: from then on the run counts as up.
func hold(path string, lock *os.File, telling []string) error {
	taken, err := lock.Stat()
	if err != nil {
		return err
	}
	there, err := os.Lstat(lock.Name())
	if err != nil {
		return err
	}
	if !os.SameFile(taken, there) {
		return fmt.Errorf("%s: %w", path, errRemoved)
	}
	if err := errors.Join(os.Chmod(path, 0o700), lock.Chmod(0o600), removeFiles(path, telling)); err != nil {
		return err
	}
	return write(lock)
}

func removeFiles(path string, names []string) error {
	var problems []error
	for _, name := range names {
		if err := os.Remove(filepath.Join(path, name)); !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// openLock opens the lock's file, which must be a file of this user's.
func openLock(path string, flags int) (*os.File, error) {
	name := filepath.Join(path, lockName)
	lock, err := os.OpenFile(name, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := lock.Stat()
	if err == nil && (!info.Mode().IsRegular() || !own(info)) {
		err = fmt.Errorf("%s is no file of this user's: remove it", name)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

func own(info fs.FileInfo) bool {
	status, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(status.Uid) == os.Geteuid()
}

// take locks a folder, unless a run holds it. Who looks whether one does has it for a moment.
func take(path string, lock *os.File) error {
	for deadline := time.Now().Add(settleWithin); ; time.Sleep(settlePause) {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("locking %s: %w", path, err)
		}
		pid, err := holder(lock)
		if err == nil {
			return &RunningError{Path: path, PID: pid}
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// holder is the process that a lock names, where it is the one that holds it.
func holder(lock *os.File) (int, error) {
	text := make([]byte, 32)
	n, err := lock.ReadAt(text, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil || pid < 2 {
		return 0, fmt.Errorf("%s is locked, and names no process: who holds it is no run", lock.Name())
	}
	holds, err := holds(pid, lock)
	if err == nil && !holds {
		err = fmt.Errorf("%s is locked, but not by process %d, which it names: who holds it is no run",
			lock.Name(), pid)
	}
	return pid, err
}

// write the process id over that of an earlier process: the file is empty only until the first.
func write(lock *os.File) error {
	text := strconv.Itoa(os.Getpid()) + "\n"
	_, err := lock.WriteAt([]byte(text), 0)
	return errors.Join(err, lock.Truncate(int64(len(text))))
}

// Close gives the folder up and leaves what is in it.
func (f *Folder) Close() error { return f.lock.Close() }

// Abandon gives the folder up as Close does, and removes it, and the one that it lies in, where
// nothing is in them but empty folders: nothing has come of the run.
func (f *Folder) Abandon() error {
	if holdsFiles(f.Path) {
		return f.Close()
	}
	err := f.Remove()
	_ = os.Remove(filepath.Dir(f.Path)) // fails where another run has its folder in it
	return err
}

// Remove gives the folder up and removes it with all that is in it.
func (f *Folder) Remove() error {
	var problems []error
	entries, err := os.ReadDir(f.Path)
	problems = append(problems, err)
	for _, entry := range entries {
		if entry.Name() != lockName {
			problems = append(problems, os.RemoveAll(filepath.Join(f.Path, entry.Name())))
		}
	}
	// The lock goes last, while it is held: who has its file open already sees that it is not the
	// folder's any more.
	problems = append(problems, os.Remove(f.lock.Name()))
	_ = os.Remove(f.Path) // fails where somebody has begun to use it again
	return errors.Join(append(problems, f.Close())...)
}

// holdsFiles tells whether anything but folders and the lock is below a folder, or may be.
func holdsFiles(path string) bool {
	lock, found := filepath.Join(path, lockName), false
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && name != lock {
			found = true
			return fs.SkipAll
		}
		return err
	})
	return found || err != nil
}

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

// Running tells the process that holds a run's folder, or 0. The error of a lock that somebody
// holds who is no run says so.
func Running(path string) (pid int, err error) {
	lock, err := openLock(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	for deadline := time.Now().Add(settleWithin); ; time.Sleep(settlePause) {
		switch err := syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); {
		case err == nil:
			return 0, nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return 0, fmt.Errorf("looking at the lock of %s: %w", path, err)
		}
		// One that has just been taken does not name its holder yet.
		if pid, err = holder(lock); err == nil || time.Now().After(deadline) {
			return pid, err
		}
	}
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
