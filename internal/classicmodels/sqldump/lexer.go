package sqldump

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// maxToken bounds one string or number: a mediumblob has 16 MiB, twice that in hexadecimal.
const maxToken = 34 << 20

type tokenKind int

const (
	tokenEnd    tokenKind = iota
	tokenWord             // unquoted: a keyword or a name
	tokenName             // in backticks, or in double quotes under ANSI_QUOTES
	tokenString           // text is unescaped
	tokenBytes            // 0x..., x'...', b'...'
	tokenNumber
	tokenSymbol
	tokenDelimiter // the end of a statement
)

type token struct {
	kind tokenKind
	text string
	line int
}

// is tells whether the token is one of these keywords.
func (t token) is(keywords ...string) bool {
	same := func(keyword string) bool { return strings.EqualFold(t.text, keyword) }
	return t.kind == tokenWord && slices.ContainsFunc(keywords, same)
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

// lexer cuts MySQL's SQL into tokens. Comments are white space, but for what stands in those for a
// version (/*!40101 ... */): the server that wrote the dump runs that.
type lexer struct {
	file      string
	reader    *bufio.Reader
	line      int
	delimiter string // that ends a statement; a semicolon but for routines
	// ansiQuotes makes a name of what stands in double quotes, plainBackslash takes a backslash for
	// itself.
	ansiQuotes, plainBackslash bool
	// conditional is the line of the comment for a version that is open, or 0.
	conditional int
	// unwanted strings and numbers are passed over: their tokens have no text.
	unwanted bool
	// remark receives the beginning of each comment that takes a line.
	remark func(text string, line int) error
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

// at tells whether the text is next.
func (l *lexer) at(text string) bool {
	ahead, _ := l.reader.Peek(len(text))
	return string(ahead) == text
}

func (l *lexer) next() (token, error) {
	if err := l.skipBlanks(); err != nil {
		return token{}, err
	}
	line := l.line
	if l.at(l.delimiter) {
		_, _ = l.reader.Discard(len(l.delimiter)) // it is there: see at
		return token{tokenDelimiter, l.delimiter, line}, nil
	}
	c, err := l.read()
	if err != nil { // the end of the file: see sourceReader
		if l.conditional > 0 {
			return token{}, l.errorf(l.conditional, "the comment that starts here has no end: the file is truncated")
		}
		return token{kind: tokenEnd, line: line}, nil
	}
	switch {
	case c == '\'' || c == '"' && !l.ansiQuotes:
		text, err := l.quoted(c, line, !l.plainBackslash)
		return token{tokenString, text, line}, err
	case c == '`' || c == '"':
		text, err := l.quoted(c, line, false)
		return token{tokenName, text, line}, err
	case c == '0' && l.peek(0) == 'x' && isHex(l.peek(1)):
		_, _ = l.read()
		digits, err := l.while("", !l.unwanted, isHex)
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
		belongs := func(c byte) bool { return (isWord(c) || isDigit(c)) && !l.at(l.delimiter) }
		text, err := l.while(string(c), true, belongs)
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
	for !l.at(l.delimiter) {
		var err error
		switch c := l.peek(0); {
		case isBlank(c):
			_, _ = l.read()
		case c == '#', c == '-' && l.peek(1) == '-' && (isBlank(l.peek(2)) || l.peek(2) == 0):
			err = l.skipLine()
		case c == '/' && l.peek(1) == '*' && (l.peek(2) == '!' || l.peek(2) == 'M' && l.peek(3) == '!'):
			err = l.openConditional()
		case c == '/' && l.peek(1) == '*':
			err = l.skipComment()
		case c == '*' && l.conditional > 0 && l.peek(1) == '/':
			_, _ = l.reader.Discard(2)
			l.conditional = 0
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// skipLine stops at the end of the file as well, which the next read reports.
func (l *lexer) skipLine() error {
	const most = 200
	line := l.line
	var text []byte
	for {
		c, err := l.read()
		if err != nil || c == '\n' {
			if l.remark == nil {
				return nil
			}
			return l.remark(strings.TrimSpace(strings.TrimLeft(string(text), "-#")), line)
		}
		if c == '\r' && l.peek(0) != '\n' && l.peek(0) != 0 {
			return l.errorf(line, "a carriage return ends no line: expected line feeds, or both")
		}
		if len(text) < most {
			text = append(text, c)
		}
	}
}

// never is the version of a comment that no server runs: mariadb-dump's first line has it.
const never = "999999"

// openConditional goes behind /*!40101 or /*M!100616, so that what follows is read as SQL to the
// comment's end.
func (l *lexer) openConditional() error {
	line := l.line
	if l.conditional > 0 {
		return l.errorf(line, "a comment for a version lies in the one that line %d starts", l.conditional)
	}
	ahead, _ := l.reader.Peek(len("/*M!") + len(never))
	_, version, _ := strings.Cut(string(ahead), "!")
	digits := 0
	for digits < len(version) && isDigit(version[digits]) {
		digits++
	}
	if version[:digits] == never {
		return l.skipComment()
	}
	_, _ = l.reader.Discard(strings.IndexByte(string(ahead), '!') + 1 + digits)
	l.conditional = line
	return nil
}

func (l *lexer) skipComment() error {
	line := l.line
	_, _ = l.read()
	_, _ = l.read()
	for previous := byte(0); ; {
		c, err := l.read()
		if err != nil {
			return l.errorf(line, "the comment that starts here has no end: the file is truncated")
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
			if !l.unwanted && (escaped == '%' || escaped == '_') {
				text = append(text, '\\')
			}
			c = unescaped(escaped)
		}
		if l.unwanted {
			continue
		}
		if text = append(text, c); len(text) > maxToken {
			return "", l.errorf(line, "the quoted text that starts here is longer than %d bytes", maxToken)
		}
	}
}

// unescaped is what follows a backslash, by the MySQL manual's table "Special Character Escape
// Sequences".
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

// while reads bytes as long as they belong to the word, and keeps them where they are wanted.
func (l *lexer) while(start string, wanted bool, belongs func(byte) bool) (string, error) {
	text, line := []byte(start), l.line
	for belongs(l.peek(0)) {
		c, err := l.read()
		if err != nil {
			break
		}
		if !wanted {
			continue
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
	return l.while(string(first), !l.unwanted, func(c byte) bool {
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
