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

// values is what a key has in each profile.
type values[T any] struct{ lean, standard, prod, course T }

// every gives all profiles the same value.
func every[T any](value T) values[T] {
	return values[T]{lean: value, standard: value, prod: value, course: value}
}

func (v values[T]) of(profile string) T {
	return map[string]T{Lean: v.lean, Standard: v.standard, Prod: v.prod, Course: v.course}[profile]
}

// errNotAllowed stands for "not what Allowed says"; a parse that knows more says it.
var errNotAllowed = errors.New("not allowed")

// newKey makes a key from the one function that reads its text.
func newKey[T any](name, allowed string, defaults values[T], field func(*Config) *T, meaning string,
	read func(string) (T, error)) Key {
	k := Key{Name: name, Type: typeOf[T](), Allowed: allowed, Meaning: meaning, defaults: map[string]string{}}
	for _, profile := range profiles {
		k.defaults[profile] = written(defaults.of(profile))
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

func text(name string, syntax *regexp.Regexp, allowed string, defaults values[string], field func(*Config) *string,
	meaning string) Key {
	return newKey(name, allowed, defaults, field, meaning, func(s string) (string, error) {
		if !syntax.MatchString(s) {
			return "", errNotAllowed
		}
		return s, nil
	})
}

// email reads the endpoint of an SNS subscription: a bare address, or nothing.
func email(name string, defaults values[string], field func(*Config) *string, meaning string) Key {
	const allowed = "one e-mail address such as team@example.com, or empty"
	return newKey(name, allowed, defaults, field, meaning, func(s string) (string, error) {
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

func choice(name string, choices []string, defaults values[string], field func(*Config) *string, meaning string) Key {
	allowed := "one of " + strings.Join(choices, ", ")
	return newKey(name, allowed, defaults, field, meaning, func(s string) (string, error) {
		if slices.Contains(choices, s) {
			return s, nil
		}
		return "", errNotAllowed
	})
}

func boolean(name string, defaults values[bool], field func(*Config) *bool, meaning string) Key {
	return newKey(name, "true or false", defaults, field, meaning, func(s string) (bool, error) {
		switch s {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return false, errNotAllowed
	})
}

func integer(name string, low, high int, defaults values[int], field func(*Config) *int, meaning string) Key {
	allowed := fmt.Sprintf("a whole number from %d to %d", low, high)
	return newKey(name, allowed, defaults, field, meaning, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high {
			return 0, errNotAllowed
		}
		return n, nil
	})
}

func oneOf(name string, choices []int, defaults values[int], field func(*Config) *int, meaning string) Key {
	words := make([]string, 0, len(choices))
	for _, v := range choices {
		words = append(words, strconv.Itoa(v))
	}
	allowed := "one of " + strings.Join(words, ", ")
	return newKey(name, allowed, defaults, field, meaning, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || !slices.Contains(choices, n) {
			return 0, errNotAllowed
		}
		return n, nil
	})
}

func number(name string, low, high float64, defaults values[float64], field func(*Config) *float64,
	meaning string) Key {
	allowed := fmt.Sprintf("a number from %g to %g", low, high)
	return newKey(name, allowed, defaults, field, meaning, func(s string) (float64, error) {
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
func cidr(name string, defaults values[netip.Prefix], field func(*Config) *netip.Prefix, meaning string) Key {
	const allowed = "a private IPv4 range from /16 to /22, such as 10.42.0.0/16"
	return newKey(name, allowed, defaults, field, meaning, func(s string) (netip.Prefix, error) {
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

// cidrs is empty in every profile.
func cidrs(name string, field func(*Config) *[]netip.Prefix, meaning string) Key {
	const allowed = "IPv4 ranges with commas between, such as 10.0.0.0/16,192.168.0.0/24, or empty"
	return newKey(name, allowed, values[[]netip.Prefix]{}, field, meaning, func(s string) ([]netip.Prefix, error) {
		var prefixes []netip.Prefix
		if s == "" {
			return prefixes, nil
		}
		for _, part := range strings.Split(s, ",") {
			prefix, err := parseCIDR(strings.TrimSpace(part))
			if err != nil {
				return nil, err
			}
			if slices.Contains(prefixes, prefix) {
				return nil, fmt.Errorf("%s stands there twice", prefix)
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
