package sqldump

// skipped is what is known of a statement that is passed over, wholly or in part. Such a statement
// hides the next one where its own end is missing, and with it rows, or what the rest must be read
// by: so every token of it is watched.
type skipped struct {
	line     int   // where the statement starts; 0 while nothing is passed over
	previous token // the one before the current
	grant    bool  // it lists privileges, which are named like statements
	body     bool  // it is a routine's, which holds statements
}

// skipStatement goes behind the statement's end.
func (p *parser) skipStatement(line int) error {
	p.skipped.line = line
	for p.token.kind != tokenDelimiter {
		if p.token.kind == tokenEnd {
			return p.truncated(line)
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	return p.advance()
}

// watch refuses a statement that begins within the one being skipped, at the token before the one
// looked at.
func (p *parser) watch(current token) error {
	previous := p.skipped.previous
	p.skipped.previous = current
	if p.skipped.line == 0 {
		return nil
	}
	firstOfLine := current.line != previous.line
	begins := firstOfLine && current.is(statements...) && !continues(previous, current, p.token) ||
		!p.skipped.grant && startsStatement(previous, current, p.token)
	if p.skipped.body {
		begins = firstOfLine && current.is("DELIMITER") // the client takes it wherever it stands
	}
	if begins {
		return p.endless(p.skipped.line, current.line)
	}
	return nil
}

func (p *parser) endless(statement, next int) error {
	missing := p.delimiter
	if missing == ";" {
		missing = "a semicolon"
	}
	return p.errorf(
		statement, "the statement that starts here has no end before the next one in line %d: %s is missing", next,
		missing,
	)
}

// statements of MySQL, by their first words.
var statements = []string{
	"ALTER", "ANALYZE", "BEGIN", "CALL", "CHANGE", "COMMIT", "CREATE", "DELETE", "DELIMITER", "DROP", "EXECUTE",
	"FLUSH", "GRANT", "HANDLER", "IMPORT", "INSERT", "LOAD", "LOCK", "OPTIMIZE", "PREPARE", "RENAME", "REPLACE",
	"REVOKE", "ROLLBACK", "SET", "START", "STOP", "TRUNCATE", "UNLOCK", "UPDATE", "USE", "XA",
}

// continues tells that a word which could start a statement is part of the one around it: a
// function, a privilege, an option, a column's action.
func continues(previous, current, next token) bool {
	switch {
	case next.symbol("("), next.symbol(","), next.symbol("="), next.is("ON", "OPTION"):
		return true
	case current.is("DELETE", "UPDATE"):
		return previous.is("ON", "KEY", "FOR")
	case current.is("SET"):
		return previous.is("CHARACTER", "CHAR", "DELETE", "UPDATE")
	case current.is("USE"):
		return next.is("INDEX", "KEY")
	case current.is("LOCK", "UNLOCK"):
		return previous.is("READ", "ACCOUNT")
	case current.is("GRANT"):
		return previous.is("WITH")
	case current.is("START"):
		return next.is("WITH")
	}
	return false
}

// startsStatement tells whether a word starts a statement wherever it stands, by what follows it.
func startsStatement(previous, current, next token) bool {
	named := next.kind == tokenWord || next.kind == tokenName
	ends := next.kind == tokenDelimiter || next.kind == tokenEnd
	switch {
	case !current.is(statements...) || continues(previous, current, next):
		return false
	case current.is("INSERT", "REPLACE", "CREATE", "ALTER", "DROP", "TRUNCATE", "DELETE", "UPDATE", "USE", "SET",
		"LOAD", "CALL", "RENAME", "FLUSH", "PREPARE", "EXECUTE", "DELIMITER"):
		return named
	case current.is("LOCK", "UNLOCK"):
		return next.is("TABLES", "TABLE", "INSTANCE")
	case current.is("COMMIT", "ROLLBACK", "BEGIN"):
		return ends || next.is("WORK", "AND", "TO")
	case current.is("START"):
		return next.is("TRANSACTION", "REPLICA", "SLAVE")
	}
	return false
}

// routines are what CREATE makes that has a body.
var routines = []string{"TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "PACKAGE"}

// skipRoutine goes behind the end of a CREATE with a body, which is one statement, maybe of many
// within BEGIN and END and the like: what stands behind its last semicolon is not part of it.
func (p *parser) skipRoutine(line int) error {
	p.skipped.line, p.skipped.body = line, true
	depth, condition, ended := 0, false, false
	for previous := (token{}); p.token.kind != tokenDelimiter; {
		switch token := p.token; {
		case token.kind == tokenEnd:
			return p.truncated(line)
		case token.symbol(";"):
			condition = false
			ended = depth == 0
		case ended:
			return p.errorf(
				token.line, "expected %s at the end of the routine of line %d, found %s", p.delimiter, line, token,
			)
		case previous.is("END"):
			// The kind of block that ends, or its label.
		case token.is("END"):
			depth = max(0, depth-1)
		case token.is("BEGIN", "CASE", "LOOP", "WHILE", "REPEAT"):
			depth++
			condition = false
		case token.is("IF"):
			condition = true
		case token.is("THEN") && condition:
			depth++
			condition = false
		case previous.is("REPEAT") && token.symbol("("):
			depth = max(0, depth-1) // the function
		}
		previous = p.token
		if err := p.advance(); err != nil {
			return err
		}
	}
	return p.advance()
}
