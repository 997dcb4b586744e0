package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"diecast/internal/deployment"
	"diecast/internal/deployment/outputs"
	"diecast/internal/local/platform"
	"diecast/internal/local/runfolder"
	"diecast/internal/sqlquery"
	"diecast/internal/wait"
)

// sqlSession is one command line of sql.
type sqlSession struct {
	user *terminal
	in   io.Reader
	// file of outputs; that of a run on this machine where onRun is set.
	file, run string
	onRun     bool
	// statement to run where once is set; else they are read from in.
	statement string
	once      bool
	// invoke asks the loader.
	invoke func(ctx context.Context, payload []byte) ([]byte, error)
}

// loaders are the functions that query each database.
var loaders = map[string]outputs.Output{
	"mysql": outputs.SourceLoaderFunctionName, "postgres": outputs.VectorsLoaderFunctionName,
}

func sqlCommand(user *terminal) *cobra.Command {
	s := &sqlSession{user: user}
	command := &cobra.Command{
		Use:   "sql mysql|postgres",
		Short: "Query the source (mysql) or the vector store (postgres), on AWS or on this machine",
		Long: fmt.Sprintf(`Query the source (mysql) or the vector store (postgres), on AWS or on this machine.

The database's loader function runs the statement: one at a time, which changes nothing, for at
most %s and %d rows. On AWS, whoever may invoke the function may query; nobody needs a way into the
network. Without --command, statements are read from standard input, each until a semicolon at the
end of a line.`, sqlquery.Timeout, sqlquery.MaxRows),
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"mysql", "postgres"},
		RunE: func(c *cobra.Command, arguments []string) error {
			s.in = c.InOrStdin()
			s.onRun, s.once = c.Flags().Changed("run"), c.Flags().Changed("command")
			return s.start(c.Context(), arguments[0])
		},
	}
	command.Flags().StringVar(&s.file, "outputs", deployment.DefaultFile, "file of the deployment's outputs")
	command.Flags().StringVar(&s.run, "run", "default", "query this run on this machine, in place of --outputs")
	command.Flags().StringVar(&s.statement, "command", "", "run this statement and end")
	command.MarkFlagsMutuallyExclusive("outputs", "run")
	return command
}

func (s *sqlSession) start(ctx context.Context, database string) error {
	var found problems
	if s.once && strings.TrimSpace(s.statement) == "" {
		found.add(errors.New("--command is empty: a statement is needed"))
	}
	if s.onRun {
		folder, err := runfolder.Of(runsFolder, s.run)
		found.add(err)
		s.file = filepath.Join(folder, platform.OutputsFile)
	} else {
		found.named("outputs", s.file)
	}
	if err := found.err(); err != nil {
		return err
	}
	deployed, err := readDeployment(s.file)
	if err != nil {
		return err
	}
	function, err := deployed.Value(loaders[database])
	if err != nil {
		return err
	}
	client, err := deployed.Lambda(ctx)
	if err != nil {
		return err
	}
	s.invoke = func(ctx context.Context, payload []byte) ([]byte, error) {
		return invoke(ctx, client, function, payload, answerWithin)
	}
	fmt.Fprintf(s.user.err, "%s of %s\n", database, deployed.Target())
	if s.once {
		return s.query(ctx, s.statement)
	}
	return s.prompt(ctx, database)
}

// answerWithin is how long a loader may take to answer: to start, to log in to its database, and to
// run the statement for as long as that may run.
const answerWithin = time.Minute + sqlquery.Timeout

// invoke calls a function and gives its answer. The error is the function's own, why it was not
// called, or that it has not answered within the limit.
func invoke(
	ctx context.Context, client *lambda.Client, function string, payload []byte, limit time.Duration,
) ([]byte, error) {
	answer, err := wait.Answer(ctx, limit, client.Invoke,
		&lambda.InvokeInput{FunctionName: &function, Payload: payload})
	if err != nil {
		return nil, fmt.Errorf("invoking %s: %w", function, err)
	}
	if answer.FunctionError == nil {
		return answer.Payload, nil
	}
	var failure struct {
		Message string `json:"errorMessage"`
	}
	if err := json.Unmarshal(answer.Payload, &failure); err != nil || failure.Message == "" {
		return nil, fmt.Errorf("%s failed: %s", function, answer.Payload)
	}
	return nil, errors.New(failure.Message)
}

// prompt reads statements. On a terminal it asks for them, and goes on after one that fails;
// elsewhere it ends there.
func (s *sqlSession) prompt(ctx context.Context, database string) error {
	file, isFile := s.in.(*os.File)
	asks := isFile && term.IsTerminal(int(file.Fd()))
	ask := func(prompt string) {
		if asks {
			fmt.Fprint(s.user.err, prompt)
		}
	}
	lines, statement := readLines(ctx, s.in), ""
	for {
		if statement == "" {
			ask(database + "> ")
		} else {
			ask(strings.Repeat(" ", len(database)-1) + "-> ")
		}
		var next line
		var more bool
		select {
		case next, more = <-lines:
		case <-ctx.Done():
			return ctx.Err()
		}
		if next.err != nil {
			return next.err
		}
		statement += next.text
		done := strings.HasSuffix(strings.TrimSpace(statement), ";")
		if more && !done {
			continue
		}
		if strings.Trim(statement, "; \t\n") != "" {
			err := s.query(ctx, statement)
			if err != nil && !asks {
				return err
			}
			if err != nil {
				fmt.Fprintln(s.user.err, err)
			}
		}
		statement = ""
		if !more {
			ask("\n")
			return nil
		}
	}
}

type line struct {
	text string
	err  error
}

// readLines reads beside, so that whoever waits for a line can be interrupted.
func readLines(ctx context.Context, in io.Reader) <-chan line {
	lines := make(chan line)
	go func() {
		defer close(lines)
		reader := bufio.NewReader(in)
		for {
			text, err := reader.ReadString('\n')
			next := line{text: text}
			if !errors.Is(err, io.EOF) {
				next.err = err
			}
			if text != "" || next.err != nil {
				select {
				case lines <- next:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

// query runs one statement and shows its answer.
func (s *sqlSession) query(ctx context.Context, statement string) error {
	statement = strings.TrimRight(strings.TrimSpace(statement), "; \t\n")
	request, err := json.Marshal(map[string]string{"action": "query", "statement": statement})
	if err != nil {
		return err
	}
	payload, err := s.invoke(ctx, request)
	if err != nil {
		return err
	}
	var answer sqlquery.Table
	if err := json.Unmarshal(payload, &answer); err != nil {
		return fmt.Errorf("the loader's answer is no table: %w", err)
	}
	if s.user.json {
		return json.NewEncoder(s.user.out).Encode(answer)
	}
	return showTable(s.user.out, s.user.err, answer)
}

// oneLine keeps a value from breaking the table.
var oneLine = strings.NewReplacer("\n", "\\n", "\r", "\\r", "\t", "\\t")

func showTable(to, notes io.Writer, answer sqlquery.Table) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(answer.Columns, "\t"))
	for _, row := range answer.Rows {
		texts := make([]string, len(row))
		for i, value := range row {
			if texts[i] = "NULL"; value != nil {
				texts[i] = oneLine.Replace(*value)
			}
		}
		fmt.Fprintln(table, strings.Join(texts, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	more := ""
	if answer.Truncated {
		more = ", and there are more"
	}
	rows := "1 row"
	if len(answer.Rows) != 1 {
		rows = fmt.Sprintf("%d rows", len(answer.Rows))
	}
	_, err := fmt.Fprintf(notes, "%s%s\n", rows, more)
	return err
}
