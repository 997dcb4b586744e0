package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"diecast/internal/local/process"
	"diecast/internal/local/runfolder"
)

// Folder is where a cluster lies.
type Folder struct {
	// Path is for Options.Dir.
	Path string
	// Apart says that it is not the folder that was wanted.
	Apart bool

	held *runfolder.Folder // where it is apart
}

const (
	// apartPrefix begins the names of folders apart in SharedFolder; each is one of package
	// runfolder, so that it is known whether its process has ended.
	apartPrefix = "run-"
	// wantedFile, in a folder apart, tells which one it stands for.
	wantedFile = "wanted"
	// clusterFolder, in a folder apart, is the server's.
	clusterFolder = "cluster"
)

// Claim gives the wanted folder, but where the server's user cannot reach it one in SharedFolder
// that belongs to the wanted one alone, and to this process. Whoever ends the server removes it.
func Claim(wanted string) (*Folder, error) {
	account, err := serverAccount()
	if err != nil {
		return nil, err
	}
	if wanted, err = filepath.Abs(wanted); err != nil {
		return nil, err
	}
	if !account.other || passable(filepath.Dir(wanted)) {
		return &Folder{Path: wanted}, nil
	}
	shared, err := sharedFolder()
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256([]byte(wanted))
	held, err := runfolder.Open(filepath.Join(shared, apartPrefix+hex.EncodeToString(key[:12])))
	if err != nil {
		return nil, err
	}
	f := &Folder{Path: filepath.Join(held.Path, clusterFolder), Apart: true, held: held}
	err = os.WriteFile(filepath.Join(held.Path, wantedFile), []byte(wanted), 0o600)
	if err == nil {
		err = os.Chmod(held.Path, 0o711) // the server's user passes through
	}
	if err != nil {
		return nil, errors.Join(err, held.Remove())
	}
	return f, nil
}

// Remove removes a folder apart, whose server has ended, and leaves any other.
func (f *Folder) Remove() error {
	if f.held == nil {
		return nil
	}
	return f.held.Remove()
}

// RemoveLeft ends and removes the clusters in folders apart whose processes have ended, and those
// that stand for folders below this one, which is the caller's.
func RemoveLeft(below string) error {
	if os.Geteuid() != 0 { // see account
		return nil
	}
	below, err := filepath.Abs(below)
	if err != nil {
		return err
	}
	names, err := runfolder.List(SharedFolder)
	problems := []error{err}
	for _, name := range names {
		if strings.HasPrefix(name, apartPrefix) {
			problems = append(problems, removeLeft(filepath.Join(SharedFolder, name), below))
		}
	}
	return errors.Join(problems...)
}

func removeLeft(path, below string) error {
	wanted, err := os.ReadFile(filepath.Join(path, wantedFile))
	if err == nil && strings.HasPrefix(string(wanted), below+string(filepath.Separator)) {
		_, err := process.CleanUp(filepath.Join(path, clusterFolder))
		return errors.Join(err, os.RemoveAll(path))
	}
	held, err := runfolder.Open(path)
	var running *runfolder.RunningError
	if errors.As(err, &running) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := process.CleanUp(filepath.Join(path, clusterFolder)); err != nil {
		return errors.Join(err, held.Close())
	}
	return held.Remove()
}
