package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/awsdb/certificates"
	"diecast/test/accept"
)

func loaded(t *testing.T, settings map[string]any) Config {
	t.Helper()
	c, err := Load(settings)
	require.NoError(t, err)
	return c
}

// bundle is a file of RDS's own authorities, which name regions that are known already.
func bundle(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "further.pem")
	require.NoError(t, os.WriteFile(file, certificates.RDS, 0o600))
	return file
}

func TestRegionsAreAdmittedByWhatTheyHave(t *testing.T) {
	c := loaded(t, nil)
	known, err := c.RegionsWithAuthorities()
	require.NoError(t, err)
	assert.Len(t, known, 27)
	assert.Contains(t, known, "eu-central-2")
	assert.NotContains(t, known, "il-central-1")
	assert.Contains(t, c.RegionsWithFunctionURLs(), "ap-southeast-3")
	assert.NotContains(t, c.RegionsWithFunctionURLs(), "eu-central-2")

	off := loaded(t, map[string]any{"inference.url": false})
	assert.Len(t, off.RegionsWithFunctionURLs(), 34)
	further, err := loaded(t, map[string]any{"databases.certificateAuthorities": bundle(t)}).RegionsWithAuthorities()
	require.NoError(t, err)
	assert.Equal(t, known, further, "the file's authorities sign for no other region")
}

func TestRegionsAreAdmittedByTheirDatabaseClasses(t *testing.T) {
	assert.NotContains(t, loaded(t, nil).RegionsWithDatabases(), "ca-west-1")
	assert.Contains(t, loaded(t, nil).RegionsWithDatabases(), "eu-south-1")
	prod := map[string]any{"profile": Prod}
	assert.NotContains(t, loaded(t, prod).RegionsWithDatabases(), "eu-south-1")
	assert.Contains(t, joined(loaded(t, prod).RegionNotices("eu-south-1")), "vectors.instanceClass=db.m7g.large")
	assert.Len(t, loaded(t, map[string]any{"profile": Course}).RegionsWithDatabases(), 34)
	for _, key := range []string{"vectors.instanceClass", "source.instanceClass"} {
		one := loaded(t, map[string]any{key: "db.r7g.large"})
		assert.NotContains(t, one.RegionsWithDatabases(), "eu-west-3", key)
		assert.Contains(t, one.RegionsWithDatabases(), "eu-west-1", key)
	}
}

func TestRegionNoticesNameTheKeyToSet(t *testing.T) {
	c := loaded(t, nil)
	for region, want := range map[string][]string{
		"":              nil,
		"us-east-1":     nil,
		"eu-south-2":    {"eu-south-2: Lambda has no function URLs there: set inference.url=false"},
		"mx-central-1":  {"mx-central-1: no certificate authority", "mx-central-1: Lambda has no function URLs"},
		"us-gov-west-1": {"us-gov-west-1: it is none of AWS's commercial regions"},
		"il-central-1":  {"inference.url=false", "databases.certificateAuthorities"},
	} {
		notices := c.RegionNotices(region)
		assert.Equal(t, len(want) == 0, len(notices) == 0, region)
		for _, words := range want {
			assert.Contains(t, joined(notices), words)
		}
	}
	assert.Empty(t, loaded(t, map[string]any{"inference.url": false}).RegionNotices("eu-south-2"))
}

func joined(lines []string) string {
	var all string
	for _, line := range lines {
		all += line + "\n"
	}
	return all
}

func TestRegionsAreDocumented(t *testing.T) {
	accept.Region(t, "../docs/deploying.md", "regions", RegionsMarkdown())
}

func TestAuthoritiesAreReadFromABoundedFile(t *testing.T) {
	folder := t.TempDir()
	within := func(name string) string { return filepath.Join(folder, name) }
	pipe, large, absent := within("pipe"), within("large"), within("absent")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600)) // which nobody ever writes into
	require.NoError(t, os.WriteFile(large, make([]byte, maximumAuthoritiesBytes+1), 0o600))
	for file, words := range map[string]string{
		pipe: "is no regular file", folder: "is no regular file", "/dev/zero": "is no regular file",
		large: "has 1048577 bytes, and at most 1048576 are read", absent: "no such file",
	} {
		problems := problemsOf(t, map[string]any{"databases.certificateAuthorities": file})
		require.Len(t, problems, 1)
		assert.Contains(t, problems[0].Allowed, words)
	}
	link := within("link")
	require.NoError(t, os.Symlink(bundle(t), link))
	loaded(t, map[string]any{"databases.certificateAuthorities": link})
}

// TestAuthoritiesThatNameNoRegionAreAnnounced: with one, no region is refused for want of one.
func TestAuthoritiesThatNameNoRegionAreAnnounced(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Somebody's own"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "own.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	c := loaded(t, map[string]any{"databases.certificateAuthorities": file})
	known, err := c.RegionsWithAuthorities()
	require.NoError(t, err)
	assert.Len(t, known, 34)
	assert.Contains(t, joined(c.Notices()), `the authority "CN=Somebody's own" names no region`)
	named := loaded(t, map[string]any{"databases.certificateAuthorities": bundle(t)})
	assert.NotContains(t, joined(named.Notices()), "names no region")
}

func TestAuthoritiesAreCheckedAllAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(file, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"+
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o600))
	problems := problemsOf(t, map[string]any{"databases.certificateAuthorities": file})
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0].Allowed, "PEM block 1 is a PRIVATE KEY")
	assert.Contains(t, problems[0].Allowed, "PEM block 2: ")
	assert.NotContains(t, problems[0].String(), "\n")
}
