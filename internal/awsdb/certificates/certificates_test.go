package certificates

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var now = time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)

// issue makes a certificate that is valid from a year ago for the given years.
func issue(t *testing.T, name string, authority bool, years int) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(-1+years, 0, 0).Add(-time.Hour),
		IsCA: authority, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestTheEmbeddedBundleIsGoodAndNamesItsRegions(t *testing.T) {
	require.NoError(t, Check(RDS, now))
	regions, unnamed := Regions(RDS)
	assert.Empty(t, unnamed)
	assert.Len(t, regions, 27)
	assert.Contains(t, regions, "us-east-1")
	assert.NotContains(t, regions, "il-central-1")
}

func TestFurtherAuthoritiesAreAdded(t *testing.T) {
	further := issue(t, "Amazon RDS il-central-1 Root CA RSA2048 G1", true, 2)
	windows := bytes.ReplaceAll(further, []byte("\n"), []byte("\r\n"))
	marked := append([]byte("\ufeff"), further...)
	for _, bundle := range [][]byte{further, windows, marked, append([]byte("# a remark\n"), further...)} {
		require.NoError(t, Check(bundle, now))
		regions, unnamed := Regions(With(bundle))
		assert.Empty(t, unnamed)
		assert.Len(t, regions, 28)
		assert.Contains(t, regions, "il-central-1")
		assert.True(t, x509.NewCertPool().AppendCertsFromPEM(With(bundle)))
	}
	_, unnamed := Regions(issue(t, "Another authority", true, 2))
	assert.Equal(t, []string{"CN=Another authority"}, unnamed)
}

func TestBadBundlesAreRefused(t *testing.T) {
	good := issue(t, "Good", true, 2)
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("hunter2")})
	for name, test := range map[string]struct {
		bundle  []byte
		message string
	}{
		"empty":          {nil, "no certificate in PEM form"},
		"other text":     {[]byte("<html>"), "no certificate in PEM form"},
		"UTF-16":         {[]byte("\xff\xfe-\x00-\x00"), "it is UTF-16: write it as UTF-8"},
		"gzip":           {[]byte("\x1f\x8b\x08"), "it is compressed by gzip: unpack it"},
		"a key":          {append(key, good...), "PEM block 1 is a PRIVATE KEY"},
		"a server's own": {issue(t, "db.example.com", false, 2), "(CN=db.example.com) is no certificate authority"},
		"expired": {append(good, issue(t, "Old", true, 1)...),
			"certificate 2 (CN=Old) expired on 2026-11-27"},
		"cut":            {good[:len(good)-10], "1 PEM blocks begin in it and 0 can be read"},
		"one cut of two": {append(good[:len(good)/2], good...), "can be read"},
		"a mark between two": {slices.Concat(good, []byte("\ufeff"), good),
			"2 PEM blocks begin in it and 1 can be read"},
		"headers": {bytes.Replace(good, []byte("-----\n"), []byte("-----\nSubject: Good\nLabel: x\n\n"), 1),
			"PEM block 1 has headers (Label, Subject), and programs would not trust it"},
		"not a certificate": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), "PEM block 1"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(test.bundle, now)
			require.ErrorContains(t, err, test.message)
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
	require.ErrorContains(t, Check(good, now.AddDate(-2, 0, 0)), "is not valid before 2025-11-28")
	for _, both := range [][]byte{
		append(issue(t, "Old", true, 1), issue(t, "db", false, 2)...),
		issue(t, "old-db", false, 1),
	} {
		err := Check(both, now)
		require.ErrorContains(t, err, "expired")
		require.ErrorContains(t, err, "no certificate authority")
	}
}
