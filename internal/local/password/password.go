// Package password generates passwords as Secrets Manager does. It knows nothing of secrets, in
// which they are kept.
//
// Contract: "AWS Secrets Manager API Reference", GetRandomPassword.
package password

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"strings"
)

// Kinds of characters.
const (
	lowercase   = "abcdefghijklmnopqrstuvwxyz"
	uppercase   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits      = "0123456789"
	punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
)

// Options of a password. Without the others, Length characters are of every kind but the space.
type Options struct {
	// Length in characters. Required.
	Length int
	// Without lists the characters that it never has.
	Without string
	// WithoutPunctuation, -Lowercase, -Uppercase and -Digits leave whole kinds of characters out.
	WithoutPunctuation, WithoutLowercase, WithoutUppercase, WithoutDigits bool
	// WithSpace allows the space.
	WithSpace bool
	// EachKind requires one character of every kind that is not left out.
	EachKind bool
}

// kinds are the characters that are left, kind by kind.
func (o Options) kinds() []string {
	var kinds []string
	for _, kind := range []struct {
		characters string
		leftOut    bool
	}{
		{lowercase, o.WithoutLowercase}, {uppercase, o.WithoutUppercase}, {digits, o.WithoutDigits},
		{punctuation, o.WithoutPunctuation}, {" ", !o.WithSpace},
	} {
		if kind.leftOut {
			continue
		}
		allowed := strings.Map(func(r rune) rune {
			if strings.ContainsRune(o.Without, r) {
				return -1
			}
			return r
		}, kind.characters)
		if allowed != "" {
			kinds = append(kinds, allowed)
		}
	}
	return kinds
}

// Validate says why there is no such password.
func (o Options) Validate() error {
	kinds := o.kinds()
	if len(kinds) == 0 || o.Length < 1 || o.EachKind && o.Length < len(kinds) {
		return fmt.Errorf("a password of %d characters out of %d kinds cannot be made", o.Length, len(kinds))
	}
	return nil
}

// Generate makes one; the error is that of Validate.
func Generate(options Options) (string, error) {
	if err := options.Validate(); err != nil {
		return "", err
	}
	kinds := options.kinds()
	password := make([]byte, options.Length)
	for i := range password {
		from := strings.Join(kinds, "")
		if options.EachKind && i < len(kinds) {
			from = kinds[i]
		}
		password[i] = from[below(len(from))]
	}
	// The characters of each kind came first.
	for i := len(password) - 1; i > 0; i-- {
		j := below(i + 1)
		password[i], password[j] = password[j], password[i]
	}
	return string(password), nil
}

func below(n int) int {
	chosen, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // never with crypto/rand's reader
	}
	return int(chosen.Int64())
}
