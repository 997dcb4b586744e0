//go:build !linux

package runfolder

import "os"

// holds takes the file's word: only Linux tells who holds a lock. The file is this user's alone.
func holds(int, *os.File) (bool, error) { return true, nil }
