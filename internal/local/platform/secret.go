package platform

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"diecast/internal/assembly"
)

// Kinds of characters of GetRandomPassword (Secrets Manager API reference).
const (
	lowercase   = "abcdefghijklmnopqrstuvwxyz"
	uppercase   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits      = "0123456789"
	punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
)

// generateSecret makes the value of a secret the way Secrets Manager does.
func generateSecret(t *assembly.Secret) (string, error) {
	var kinds []string
	for _, kind := range []struct {
		characters string
		leftOut    bool
	}{{lowercase, t.WithoutLowercase}, {uppercase, t.WithoutUppercase}, {digits, t.WithoutDigits}, {punctuation, t.WithoutPunctuation}, {" ", !t.WithSpace}} {
		if kind.leftOut {
			continue
		}
		allowed := strings.Map(func(r rune) rune {
			if strings.ContainsRune(t.Without, r) {
				return -1
			}
			return r
		}, kind.characters)
		if allowed != "" {
			kinds = append(kinds, allowed)
		}
	}
	if len(kinds) == 0 || t.Length < 1 || t.EachKind && t.Length < len(kinds) {
		return "", fmt.Errorf("a password of %d characters out of %d kinds cannot be made", t.Length, len(kinds))
	}
	password := make([]byte, t.Length)
	for i := range password {
		from := strings.Join(kinds, "")
		if t.EachKind && i < len(kinds) {
			from = kinds[i]
		}
		password[i] = from[below(len(from))]
	}
	// The characters of each kind came first.
	for i := len(password) - 1; i > 0; i-- {
		j := below(i + 1)
		password[i], password[j] = password[j], password[i]
	}
	if t.Key == "" {
		return string(password), nil
	}
	value := map[string]any{}
	if err := json.Unmarshal([]byte(t.Template), &value); err != nil {
		return "", fmt.Errorf("SecretStringTemplate: %w", err)
	}
	value[t.Key] = string(password)
	text, err := json.Marshal(value)
	return string(text), err
}

func below(n int) int {
	chosen, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // never with crypto/rand's reader
	}
	return int(chosen.Int64())
}
