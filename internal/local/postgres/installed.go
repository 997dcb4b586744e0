package postgres

import "context"

// Installed fails with ErrNotInstalled where there are no binaries. It starts nothing.
func Installed(context.Context) error {
	_, err := findBinaries()
	return err
}
