package process

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// PIDFilePattern is what CleanUp looks for.
const PIDFilePattern = "*.pid"

// writePIDFile tells who runs: its number, when it started, because numbers are used again, and which
// file tells it, because a copy, such as that of a run's folder, tells of somebody else's process.
func (p *Process) writePIDFile() error {
	if p.command.PIDFile == "" {
		return nil
	}
	started, _, err := startTime(p.pid)
	if err != nil {
		return err
	}
	fresh := p.command.PIDFile + ".new" // a half-written file would be of no use to CleanUp
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(fresh, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	identity, err := identify(file)
	if err == nil {
		_, err = fmt.Fprintf(file, "%d\n%s\n%s\n", p.pid, started, identity)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(fresh, p.command.PIDFile)
}

// identify says which file of this user's it is. The error is that of one which others may have
// written.
func identify(file *os.File) (string, error) {
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || int(status.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("%s is no file that this user alone can write: remove it", file.Name())
	}
	return fmt.Sprintf("file %d of %d", status.Ino, status.Dev), nil
}

// CleanUpBelow does as CleanUp in each folder below one.
func CleanUpBelow(dir string) error {
	folders, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if _, err := CleanUp(folder); err != nil {
			return fmt.Errorf("stopping what an earlier run left: %w", err)
		}
	}
	return nil
}

// CleanUp kills the processes, each with its group, that the PID files (PIDFilePattern) of a folder
// name and that still run, and removes the files. It returns the process ids that it killed. A
// folder that does not exist is clean.
//
// A process whose start time is another than the file's is not the one that was meant and is left
// alone, and so is one that another file, or another user, tells of.
func CleanUp(folder string) ([]int, error) {
	files, err := filepath.Glob(filepath.Join(folder, PIDFilePattern))
	if err != nil {
		return nil, fmt.Errorf("look for PID files in %s: %w", folder, err)
	}
	var killed []int
	var problems []error
	for _, file := range files {
		pid, err := cleanUp(file)
		if err != nil {
			problems = append(problems, fmt.Errorf("clean up after %s: %w", file, err))
		}
		if pid != 0 {
			killed = append(killed, pid)
		}
	}
	return killed, errors.Join(problems...)
}

// cleanUp returns the number of the process that it killed, 0 where none ran.
func cleanUp(file string) (killed int, err error) {
	opened, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // the process ended while we looked
	}
	if err != nil {
		return 0, err
	}
	defer opened.Close()
	identity, err := identify(opened)
	if err != nil {
		return 0, err
	}
	content, err := io.ReadAll(opened)
	if err != nil {
		return 0, err
	}
	number, rest, _ := strings.Cut(strings.TrimSpace(string(content)), "\n")
	started, told, _ := strings.Cut(rest, "\n")
	pid, err := strconv.Atoi(number)
	if err != nil || pid < 2 {
		return 0, fmt.Errorf("%q is no process id: remove the file", number)
	}
	if told == identity && runs(pid, started) {
		if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return 0, fmt.Errorf("kill process %d: %w", pid, err)
		}
		// A killed process still holds its port and its files for a moment.
		for deadline := time.Now().Add(DefaultGrace); runs(pid, started); time.Sleep(pollEvery) {
			if time.Now().After(deadline) {
				return 0, fmt.Errorf("process %d was killed and still runs", pid)
			}
		}
		killed = pid
	}
	// whoever waits for the process removes it, too
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return killed, err
	}
	return killed, nil
}

// runs tells whether the process that started then is there and not a zombie.
func runs(pid int, started string) bool {
	now, ended, err := startTime(pid)
	return err == nil && !ended && now == started
}
