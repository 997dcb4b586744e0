package sqldump

import (
	"maps"
	"slices"
	"strings"
)

// session is what a dump's SET and USE statements change of the way in which the rest must be read.
type session struct {
	database string
	modes    string // sql_mode, as the file says it
	charset  string // character_set_client: one of the Charset constants
	zone     string // time_zone; SYSTEM until the file sets it
	// uncommitted tells that rows wait for a COMMIT without the start of a transaction: autocommit
	// is off.
	uncommitted bool
	// variables are the user variables whose value is known, by name in lower case with the @.
	variables map[string]string
}

// maxVariables bounds the memory; real dumps set about twenty.
const maxVariables = 1000

// The character sets in which a dump's text is read. All others are refused where the file
// announces them: some of them hide quotes and backslashes within characters.
const (
	// Undeclared: the file does not say.
	Undeclared = ""
	// UTF8 is MySQL's utf8mb3 or utf8mb4.
	UTF8 = "utf8"
	// Latin1 is MySQL's latin1, which is Windows-1252.
	Latin1 = "latin1"
)

var charsets = map[string]string{
	"": Undeclared, "default": Undeclared, "binary": Undeclared,
	"ascii": UTF8, "utf8": UTF8, "utf8mb3": UTF8, "utf8mb4": UTF8, "latin1": Latin1,
}

// Modes that change how text is cut into tokens. Those before ANSI_QUOTES stand for several modes,
// it among them.
var (
	quotingModes     = []string{"ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL", "ANSI_QUOTES"}
	backslashMode    = "NO_BACKSLASH_ESCAPES"
	postgresSettings = []string{
		"client_encoding", "client_min_messages", "check_function_bodies", "default_table_access_method",
		"default_tablespace", "idle_in_transaction_session_timeout", "lock_timeout", "row_security", "search_path",
		"standard_conforming_strings", "statement_timeout", "transaction_timeout", "xmloption",
	}
)

// set reads a SET statement, of which only sql_mode, character sets, time_zone and user variables
// matter.
func (p *parser) set() error {
	line := p.token.line
	if err := p.advance(); err != nil {
		return err
	}
	switch {
	case p.token.is("STATEMENT"):
		return p.errorf(line, "SET STATEMENT is not read: expected SET name = value")
	case p.token.is("PASSWORD", "ROLE", "DEFAULT", "TRANSACTION"):
		return p.skipStatement(line)
	}
	for {
		if err := p.assignment(line); err != nil {
			return err
		}
		if !p.token.symbol(",") {
			break
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	return p.endStatement(line)
}

func (p *parser) assignment(statement int) error {
	global := false
	for p.token.is("GLOBAL", "PERSIST", "PERSIST_ONLY", "SESSION", "LOCAL") {
		global = !p.token.is("SESSION", "LOCAL")
		if err := p.advance(); err != nil {
			return err
		}
	}
	line := p.token.line
	name, err := p.name(statement)
	if err != nil {
		return err
	}
	name = strings.ToLower(name)
	switch name {
	case "names", "charset":
	case "character":
		if !p.token.is("SET") {
			return p.errorf(line, "expected SET after CHARACTER, found %s", p.token)
		}
		if err := p.advance(); err != nil {
			return err
		}
	case "@":
		quoted, err := p.name(statement)
		if err != nil {
			return err
		}
		if name += strings.ToLower(quoted); !p.token.symbol("=") && !p.token.symbol(":") {
			return p.errorf(line, "expected = after %s, found %s", name, p.token)
		}
	}
	if scope, found := strings.CutPrefix(name, "@@"); found {
		if name = scope; p.token.symbol(".") {
			global = scope != "session" && scope != "local"
			if err := p.advance(); err != nil {
				return err
			}
			if name, err = p.name(statement); err != nil {
				return err
			}
			name = strings.ToLower(name)
		}
	}
	if slices.Contains(postgresSettings, name) {
		return p.errorf(line, "SET %s: the file is a dump of PostgreSQL, expected one of MySQL or MariaDB", name)
	}
	if name != "names" && name != "charset" && name != "character" {
		if p.token.symbol(":") {
			if err := p.advance(); err != nil {
				return err
			}
		}
		if !p.token.symbol("=") {
			return p.errorf(line, "SET %s: expected =, found %s", name, p.token)
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	value, err := p.expression(statement)
	if err != nil || global {
		return err
	}
	return p.assign(line, name, value)
}

// expression collects the tokens of a value.
func (p *parser) expression(statement int) (all []token, err error) {
	p.skipped.line = statement
	size := 0
	const most = 1000
	for depth := 0; ; {
		switch {
		case p.token.kind == tokenEnd:
			return nil, p.truncated(statement)
		case p.token.kind == tokenDelimiter, depth == 0 && p.token.symbol(","):
			return all, nil
		case p.token.symbol("("):
			depth++
		case p.token.symbol(")"):
			depth--
		}
		size += len(p.token.text)
		if all = append(all, p.token); len(all) > most || size > maxHeld {
			return nil, p.errorf(
				statement, "the SET statement that starts here has a value of more than %d words or %d bytes", most,
				maxHeld,
			)
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) assign(line int, name string, expression []token) error {
	if strings.HasPrefix(name, "@") {
		// What is long is no mode, zone or character set.
		if value, known := p.evaluate(expression); !known || len(value) > maxName {
			delete(p.variables, name)
		} else if p.variables[name] = value; len(p.variables) > maxVariables {
			return p.errorf(line, "the file sets more than %d variables", maxVariables)
		}
		return nil
	}
	switch name {
	case "names", "charset", "character":
		if at := slices.IndexFunc(expression, func(t token) bool { return t.is("COLLATE") }); at >= 0 {
			expression = expression[:at]
		}
		value, known := p.evaluate(expression)
		if !known {
			return p.errorf(line, "SET NAMES: expected the name of a character set")
		}
		return p.setCharset(line, value)
	case "character_set_client":
		value, _ := p.evaluate(expression)
		return p.setCharset(line, value)
	case "autocommit":
		value, _ := p.evaluate(expression)
		if p.uncommitted = off(value); !p.uncommitted {
			p.transaction = 0 // switching it on commits
		}
	case "time_zone":
		p.zone, _ = p.evaluate(expression)
	case "sql_mode":
		value, known := p.evaluate(expression)
		if !known {
			return p.errorf(line, "SET sql_mode: expected a text, or a variable that the file has set before")
		}
		return p.setModes(line, value)
	}
	return nil
}

// evaluate gives the value of the expressions that dumps use; others are not known.
func (p *parser) evaluate(expression []token) (value string, known bool) {
	session := map[string]string{
		"sql_mode": p.modes, "character_set_client": p.charset, "time_zone": p.zone, "autocommit": "1",
	}
	if p.uncommitted {
		session["autocommit"] = "0"
	}
	one := func(t token) (string, bool) {
		switch name := strings.ToLower(t.text); {
		case t.kind == tokenString, t.kind == tokenNumber:
			return t.text, true
		case t.kind != tokenWord:
			return "", false
		case strings.HasPrefix(name, "@@"):
			value, known := session[name[2:]]
			return value, known
		case strings.HasPrefix(name, "@"):
			value, known := p.variables[name]
			return value, known
		case name == "default", name == "null":
			return "", true
		default:
			return t.text, true
		}
	}
	// at tells whether the expression has a symbol at a place.
	at := func(i int, symbol string) bool { return expression[i].symbol(symbol) }
	switch {
	case len(expression) == 1:
		return one(expression[0])
	case len(expression) == 3 && expression[0].is("@@session", "@@local") && at(1, "."):
		value, known := session[strings.ToLower(expression[2].text)]
		return value, known
	case len(expression) == 6 && expression[0].is("IFNULL") && at(1, "(") && at(3, ",") && at(5, ")"):
		if value, known := one(expression[2]); known {
			return value, true
		}
		return one(expression[4])
	}
	return "", false
}

// off tells whether a switch's value is that of one which is off.
func off(value string) bool {
	return slices.ContainsFunc(
		[]string{"0", "OFF", "FALSE"}, func(text string) bool { return strings.EqualFold(text, value) },
	)
}

func (p *parser) setCharset(line int, name string) error {
	charset, known := charsets[strings.ToLower(name)]
	if !known {
		names := slices.DeleteFunc(
			slices.Sorted(maps.Keys(charsets)), func(name string) bool { return name == "" || name == "default" },
		)
		return p.errorf(
			line,
			"character set %.30q is not read: expected %s (write the dump with --default-character-set=utf8mb4)",
			name, strings.Join(names, ", "),
		)
	}
	p.charset = charset
	return nil
}

func (p *parser) setModes(line int, modes string) error {
	p.ansiQuotes, p.plainBackslash = false, false
	for mode := range strings.SplitSeq(modes, ",") {
		mode = strings.ToUpper(strings.TrimSpace(mode))
		p.ansiQuotes = p.ansiQuotes || slices.Contains(quotingModes, mode)
		p.plainBackslash = p.plainBackslash || mode == backslashMode
		if mode != "" && mode != "0" && isDigit(mode[0]) {
			return p.errorf(line, "sql_mode %.30s is a number: expected the modes' names", mode)
		}
	}
	p.modes = modes
	return nil
}
