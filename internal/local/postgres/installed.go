package postgres

// Installed fails with ErrNotInstalled where there are no binaries. It starts nothing.
func Installed() error {
	_, err := findBinaries()
	return err
}
