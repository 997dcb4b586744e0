package config

import (
	"errors"
	"fmt"
	"math"
	"net/mail"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Key is one configuration key.
type Key struct {
	// Name is the dotted key.
	Name string
	// Type is string, boolean, integer, number, CIDR or list of CIDRs.
	Type string
	// Allowed says in words what a value may be.
	Allowed string
	// Meaning says in a sentence what it does and what follows.
	Meaning string
	// defaults hold the value of each profile, as text that parse takes.
	defaults map[string]string
	// parse reads a value and stores it.
	parse func(c *Config, value string) error
}

// Default is the key's value in a profile, as it would be written after -c.
func (k Key) Default(profile string) string { return k.defaults[profile] }

// Keys lists every key, in the order of the documentation.
func Keys() []Key { return slices.Clone(keys) }

// Profiles lists the profiles, in the order of the documentation.
func Profiles() []string { return slices.Clone(profiles) }

// byProfile is a value for each of profiles, in that order.
type byProfile[T any] [4]T

func by[T any](lean, standard, prod, course T) byProfile[T] {
	return byProfile[T]{lean, standard, prod, course}
}

func same[T any](value T) byProfile[T] { return by(value, value, value, value) }

// errNotAllowed stands for "not what Allowed says"; a parse that knows more says it.
var errNotAllowed = errors.New("not allowed")

// newKey makes a key from the one function that reads its text.
func newKey[T any](name, allowed, meaning string, defaults byProfile[T], field func(*Config) *T, read func(string) (T, error)) Key {
	k := Key{Name: name, Type: typeOf[T](), Allowed: allowed, Meaning: meaning, defaults: map[string]string{}}
	for i, profile := range profiles {
		k.defaults[profile] = written(defaults[i])
	}
	k.parse = func(c *Config, value string) error {
		parsed, err := read(strings.TrimSpace(value))
		if err != nil {
			return err
		}
		*field(c) = parsed
		return nil
	}
	return k
}

// typeOf is T in the documentation's words.
func typeOf[T any]() string {
	switch any(*new(T)).(type) {
	case bool:
		return "boolean"
	case int:
		return "integer"
	case float64:
		return "number"
	case netip.Prefix:
		return "CIDR"
	case []netip.Prefix:
		return listOfCIDRs
	}
	return "string"
}

// listOfCIDRs is the only type that a JSON list may give.
const listOfCIDRs = "list of CIDRs"

// written is how a default stands on the command line.
func written(value any) string {
	if prefixes, ok := value.([]netip.Prefix); ok {
		parts := make([]string, 0, len(prefixes))
		for _, p := range prefixes {
			parts = append(parts, p.String())
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(value)
}

func text(name, meaning string, syntax *regexp.Regexp, allowed string, d byProfile[string], field func(*Config) *string) Key {
	return newKey(name, allowed, meaning, d, field, func(s string) (string, error) {
		if !syntax.MatchString(s) {
			return "", errNotAllowed
		}
		return s, nil
	})
}

// email reads the endpoint of an SNS subscription: a bare address, or nothing.
func email(name, meaning string, d byProfile[string], field func(*Config) *string) Key {
	return newKey(name, "one e-mail address such as team@example.com, or empty", meaning, d, field, func(s string) (string, error) {
		if s == "" {
			return s, nil
		}
		address, err := mail.ParseAddress(s)
		// A display name, a comment or a host without a domain parses, too.
		if err != nil || address.Address != s || !strings.Contains(s[strings.LastIndex(s, "@"):], ".") {
			return "", errNotAllowed
		}
		return s, nil
	})
}

func choice(name, meaning string, values []string, d byProfile[string], field func(*Config) *string) Key {
	return newKey(name, "one of "+strings.Join(values, ", "), meaning, d, field, func(s string) (string, error) {
		if slices.Contains(values, s) {
			return s, nil
		}
		return "", errNotAllowed
	})
}

func boolean(name, meaning string, d byProfile[bool], field func(*Config) *bool) Key {
	return newKey(name, "true or false", meaning, d, field, func(s string) (bool, error) {
		switch s {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return false, errNotAllowed
	})
}

func integer(name, meaning string, low, high int, d byProfile[int], field func(*Config) *int) Key {
	return newKey(name, fmt.Sprintf("a whole number from %d to %d", low, high), meaning, d, field, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high {
			return 0, errNotAllowed
		}
		return n, nil
	})
}

func oneOf(name, meaning string, values []int, d byProfile[int], field func(*Config) *int) Key {
	words := make([]string, 0, len(values))
	for _, v := range values {
		words = append(words, strconv.Itoa(v))
	}
	return newKey(name, "one of "+strings.Join(words, ", "), meaning, d, field, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || !slices.Contains(values, n) {
			return 0, errNotAllowed
		}
		return n, nil
	})
}

func number(name, meaning string, low, high float64, d byProfile[float64], field func(*Config) *float64) Key {
	return newKey(name, fmt.Sprintf("a number from %g to %g", low, high), meaning, d, field, func(s string) (float64, error) {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) || f < low || f > high {
			return 0, errNotAllowed
		}
		return f, nil
	})
}

// cidr reads the range of a VPC. AWS allows /16 to /28; below /22 the eighths
// that become subnets would hold fewer than the 8 free addresses that a load
// balancer wants beside the functions' network interfaces.
func cidr(name, meaning string, d byProfile[netip.Prefix], field func(*Config) *netip.Prefix) Key {
	return newKey(name, "a private IPv4 range from /16 to /22, such as 10.42.0.0/16", meaning, d, field, func(s string) (netip.Prefix, error) {
		prefix, err := parseCIDR(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		switch {
		case prefix.Bits() > 22:
			return netip.Prefix{}, errors.New("too small for six subnets")
		case prefix.Bits() < 16:
			return netip.Prefix{}, errors.New("larger than a VPC can be")
		case !prefix.Addr().IsPrivate():
			return netip.Prefix{}, errors.New("not a private range (RFC 1918)")
		}
		return prefix, nil
	})
}

func cidrs(name, meaning string, field func(*Config) *[]netip.Prefix) Key {
	return newKey(name, "IPv4 ranges with commas between, such as 10.0.0.0/16,192.168.0.0/24, or empty", meaning,
		byProfile[[]netip.Prefix]{}, field, func(s string) ([]netip.Prefix, error) {
			var prefixes []netip.Prefix
			if s == "" {
				return prefixes, nil
			}
			for _, part := range strings.Split(s, ",") {
				prefix, err := parseCIDR(strings.TrimSpace(part))
				if err != nil {
					return nil, err
				}
				prefixes = append(prefixes, prefix)
			}
			return prefixes, nil
		})
}

func parseCIDR(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil || !prefix.Addr().Is4() {
		return netip.Prefix{}, errNotAllowed
	}
	if prefix != prefix.Masked() {
		return netip.Prefix{}, fmt.Errorf("has bits outside its mask; did you mean %s?", prefix.Masked())
	}
	return prefix, nil
}

func instanceClass(name, meaning string, d byProfile[string], field func(*Config) *string) Key {
	return newKey(name, "one of "+strings.Join(instanceClasses(), ", "), meaning, d, field, func(s string) (string, error) {
		if _, ok := instanceMemoryGiB[s]; !ok {
			return "", errNotAllowed
		}
		return s, nil
	})
}
