package sqldump

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"strings"
)

// maxToken bounds one string or number: a mediumblob has 16 MiB, twice that in hexadecimal.
const maxToken = 34 << 20

type tokenKind int

const (
	tokenEnd    tokenKind = iota
	tokenWord             // unquoted: a keyword or a name
	tokenName             // in backticks
	tokenString           // text is unescaped
	tokenBytes            // 0x..., x'...', b'...'
	tokenNumber
	tokenSymbol
)

type token struct {
	kind tokenKind
	text string
	line int
}

func (t token) is(keyword string) bool {
	return t.kind == tokenWord && strings.EqualFold(t.text, keyword)
}

func (t token) symbol(s string) bool { return t.kind == tokenSymbol && t.text == s }

// String is the token for an error message, shortened: a dump holds personal data.
func (t token) String() string {
	switch t.kind {
	case tokenEnd:
		return "the end of the file"
	case tokenString, tokenBytes:
		return "a string"
	default:
		text := t.text
		if len(text) > 40 {
			text = text[:40] + "..."
		}
		return fmt.Sprintf("%q", text)
	}
}

// lexer cuts MySQL's SQL into tokens. Comments, also those that some versions execute, are white space.
type lexer struct {
	file   string
	reader *bufio.Reader
	line   int
}

func (l *lexer) errorf(line int, format string, arguments ...any) error {
	return &Error{File: l.file, Line: line, Reason: fmt.Sprintf(format, arguments...)}
}

// peek is the byte n places ahead; 0 beyond the end.
func (l *lexer) peek(n int) byte {
	ahead, _ := l.reader.Peek(n + 1)
	if len(ahead) <= n {
		return 0
	}
	return ahead[n]
}

func (l *lexer) read() (byte, error) {
	b, err := l.reader.ReadByte()
	if b == '\n' && err == nil {
		l.line++
	}
	return b, err
}

func (l *lexer) next() (token, error) {
	if err := l.skipBlanks(); err != nil {
		return token{}, err
	}
	line := l.line
	c, err := l.read()
	if err != nil { // the end of the file: see sourceReader
		return token{kind: tokenEnd, line: line}, nil
	}
	switch {
	case c == '\'' || c == '"':
		text, err := l.quoted(c, line, true)
		return token{tokenString, text, line}, err
	case c == '`':
		text, err := l.quoted(c, line, false)
		return token{tokenName, text, line}, err
	case c == '0' && l.peek(0) == 'x' && isHex(l.peek(1)):
		_, _ = l.read()
		digits, err := l.while("", isHex)
		if err != nil {
			return token{}, err
		}
		return l.bytes(digits, line)
	case (c == 'x' || c == 'X') && l.peek(0) == '\'':
		_, _ = l.read()
		digits, err := l.quoted('\'', line, false)
		if err != nil {
			return token{}, err
		}
		return l.bytes(digits, line)
	case (c == 'b' || c == 'B') && l.peek(0) == '\'':
		_, _ = l.read()
		bits, err := l.quoted('\'', line, false)
		if err != nil {
			return token{}, err
		}
		return l.bits(bits, line)
	case isDigit(c) || c == '.' && isDigit(l.peek(0)):
		text, err := l.number(c)
		return token{tokenNumber, text, line}, err
	case isWord(c):
		text, err := l.while(string(c), func(c byte) bool { return isWord(c) || isDigit(c) })
		return token{tokenWord, text, line}, err
	default:
		return token{tokenSymbol, string(rune(c)), line}, nil
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }
func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$' || c == '@' || c >= 0x80
}
func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// skipBlanks also skips comments: "-- " and # to the end of the line, and /* */.
func (l *lexer) skipBlanks() error {
	for {
		switch c := l.peek(0); {
		case isBlank(c):
			_, _ = l.read()
		case c == '#', c == '-' && l.peek(1) == '-' && (isBlank(l.peek(2)) || l.peek(2) == 0):
			l.skipLine()
		case c == '/' && l.peek(1) == '*':
			if err := l.skipComment(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// skipLine stops at the end of the file as well, which the next read reports.
func (l *lexer) skipLine() {
	for {
		if c, err := l.read(); err != nil || c == '\n' {
			return
		}
	}
}

func (l *lexer) skipComment() error {
	line := l.line
	_, _ = l.read()
	_, _ = l.read()
	for previous := byte(0); ; {
		c, err := l.read()
		if err != nil {
			return l.errorf(line, "the comment that starts here has no end")
		}
		if previous == '*' && c == '/' {
			return nil
		}
		previous = c
	}
}

// quoted reads to the closing quote, which may be doubled to stand for itself.
func (l *lexer) quoted(quote byte, line int, escapes bool) (string, error) {
	var text []byte
	for {
		c, err := l.read()
		if err != nil {
			return "", l.errorf(line, "the quoted text that starts here has no end: the file is truncated")
		}
		switch {
		case c == quote && l.peek(0) == quote:
			_, _ = l.read()
		case c == quote:
			return string(text), nil
		case c == '\\' && escapes:
			escaped, err := l.read()
			if err != nil {
				return "", l.errorf(line, "the quoted text that starts here has no end: the file is truncated")
			}
			if escaped == '%' || escaped == '_' {
				text = append(text, '\\')
			}
			c = unescaped(escaped)
		}
		if text = append(text, c); len(text) > maxToken {
			return "", l.errorf(line, "the quoted text that starts here is longer than %d bytes", maxToken)
		}
	}
}

// unescaped is what follows a backslash, by the MySQL manual's table "Special Character Escape Sequences".
func unescaped(c byte) byte {
	switch c {
	case '0':
		return 0
	case 'b':
		return '\b'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'Z':
		return 26
	}
	return c
}

func (l *lexer) while(start string, wanted func(byte) bool) (string, error) {
	text, line := []byte(start), l.line
	for wanted(l.peek(0)) {
		c, err := l.read()
		if err != nil {
			break
		}
		if text = append(text, c); len(text) > maxToken {
			return "", l.errorf(line, "a word here is longer than %d bytes", maxToken)
		}
	}
	return string(text), nil
}

// number reads digits, a fraction and an exponent.
func (l *lexer) number(first byte) (string, error) {
	previous := first
	return l.while(string(first), func(c byte) bool {
		exponent := (c == '+' || c == '-') && (previous == 'e' || previous == 'E')
		previous = c
		return exponent || isDigit(c) || c == '.' || isWord(c)
	})
}

func (l *lexer) bytes(digits string, line int) (token, error) {
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	decoded, err := hex.DecodeString(digits)
	if err != nil {
		return token{}, l.errorf(line, "a hexadecimal value with other characters than 0-9 and a-f")
	}
	return token{tokenBytes, string(decoded), line}, nil
}

func (l *lexer) bits(digits string, line int) (token, error) {
	decoded := make([]byte, (len(digits)+7)/8)
	for i := range len(digits) {
		bit := digits[len(digits)-1-i]
		if bit != '0' && bit != '1' {
			return token{}, l.errorf(line, "a bit value with other characters than 0 and 1")
		}
		decoded[len(decoded)-1-i/8] |= (bit - '0') << (i % 8)
	}
	return token{tokenBytes, string(decoded), line}, nil
}
