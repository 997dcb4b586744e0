package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/process"
	"diecast/internal/local/server"
	"diecast/internal/local/server/servertest"
)

// role makes the test binary a server with the arguments PORT [PORT_FILE]; mode says how it
// behaves.
const (
	role = "DIECAST_TEST_SERVER"
	mode = "DIECAST_TEST_MODE"
)

func TestMain(m *testing.M) {
	if os.Getenv(role) != "" {
		serve()
	}
	os.Exit(m.Run())
}

// greeting tells the server from a stranger.
const greeting = "hello"

func serve() {
	fmt.Println("hello of", os.Getenv(mode))
	// Fails twice, as PostgreSQL does while a killed one's children live.
	if counter, held := strings.CutPrefix(os.Getenv(mode), "held:"); held {
		tries, _ := os.ReadFile(counter)
		_ = os.WriteFile(counter, append(tries, '.'), 0o600)
		if len(tries) < 2 {
			fmt.Println("the folder is held")
			os.Exit(1)
		}
	}
	switch os.Getenv(mode) {
	case "fail":
		fmt.Println("no luck")
		os.Exit(3)
	case "hang":
		select {}
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Println(err) // ... address already in use
		os.Exit(1)
	}
	if len(os.Args) > 2 {
		port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
		if err := errors.Join(os.WriteFile(os.Args[2]+".new", []byte(port), 0o600), os.Rename(os.Args[2]+".new",
			os.Args[2])); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			os.Exit(1)
		}
		_, _ = connection.Write([]byte(greeting))
		asked := make([]byte, 4)
		_, _ = connection.Read(asked)
		if string(asked) == "exit" {
			fmt.Println("asked to leave")
			os.Exit(0)
		}
		_ = connection.Close()
	}
}

// announcing is a program that tells its port in a file.
func announcing(how string) server.Program {
	return server.Program{Name: "Sample", Command: func(place server.Place) process.Command {
		return process.Command{
			Path: os.Args[0], Arguments: []string{strconv.Itoa(place.Port), place.PortFile()},
			Environment: []string{role + "=1", mode + "=" + how},
		}
	}}
}

// told is a program that is told its port and asked whether it answers.
func told(how string) server.Program {
	program := announcing(how)
	command := program.Command
	program.Command = func(place server.Place) process.Command {
		made := command(place)
		made.Arguments = made.Arguments[:1]
		return made
	}
	program.PortTaken = "address already in use"
	program.Ready = func(ctx context.Context, place server.Place) error {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", place.Address())
		if err != nil {
			return err
		}
		defer connection.Close()
		defer context.AfterFunc(ctx, func() { _ = connection.Close() })() // a stranger may stay silent
		_, err = io.ReadFull(connection, make([]byte, len(greeting)))
		return err
	}
	return program
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, options server.Options, program server.Program) *server.Server {
	t.Helper()
	started, err := server.Start(within(t), options, program)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, started.Stop(context.Background())) })
	return started
}

func TestServersKeepTheContract(t *testing.T) {
	folder := func(t testing.TB) string { return t.TempDir() }
	for name, program := range map[string]server.Program{"announcing its port": announcing(""),
		"told its port": told("")} {
		t.Run(name, func(t *testing.T) {
			servertest.Contract(t, "processes of its own", folder,
				func(ctx context.Context, options server.Options) (servertest.Engine, error) {
					return server.Start(ctx, options, program)
				})
		})
	}
}

func TestTheLogIsKeptInAFolderOfTheCallers(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	started := start(t, server.Options{Dir: filepath.Join("run", "engine")}, announcing("keep"))
	assert.Equal(t, filepath.Join(folder, "run", "engine"), started.Dir(), "children have other working folders")
	require.NoError(t, started.Stop(within(t)))
	assert.Equal(t, filepath.Join(started.Dir(), "sample.log"), started.LogFile())
	log, err := os.ReadFile(started.LogFile())
	require.NoError(t, err)
	assert.Equal(t, "hello of keep\n", string(log))
}

func TestTheFolderIsForItsServerAlone(t *testing.T) {
	for _, asked := range []os.FileMode{0, 0o711} {
		program := announcing("")
		program.Mode, program.Temporary = asked, t.TempDir()
		started := start(t, server.Options{}, program)
		info, err := os.Stat(started.Dir())
		require.NoError(t, err)
		expected := asked
		if asked == 0 {
			expected = 0o700
		}
		assert.Equal(t, expected, info.Mode().Perm())
		assert.Equal(t, program.Temporary, filepath.Dir(started.Dir()))
		assert.True(t, strings.HasPrefix(filepath.Base(started.Dir()), "diecast-sample-"))
	}
}

func TestCommandRunsInTheFolderUnlessItSaysOtherwise(t *testing.T) {
	for _, own := range []string{"", t.TempDir()} {
		program := announcing("")
		command := program.Command
		program.Command = func(place server.Place) process.Command {
			made := command(place)
			made.Dir = own
			return made
		}
		started := start(t, server.Options{}, program)
		expected := own
		if own == "" {
			expected = started.Dir()
		}
		working, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", started.PID()))
		require.NoError(t, err)
		assert.Equal(t, expected, working)
	}
}

func TestAStaleTellingOfThePortIsNotBelieved(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "sample.port"), []byte("1"), 0o600))
	assert.NotEqual(t, 1, start(t, server.Options{Dir: folder}, announcing("")).Port())
}

func TestTheReasonOfAFailedStartIsTold(t *testing.T) {
	program := announcing("fail")
	program.Temporary = t.TempDir()
	_, err := server.Start(within(t), server.Options{}, program)
	require.ErrorContains(t, err, "start Sample on 127.0.0.1:0")
	require.ErrorContains(t, err, "exit status 3")
	require.ErrorContains(t, err, "no luck")
	left, err := os.ReadDir(program.Temporary)
	require.NoError(t, err)
	assert.Empty(t, left)

	program.Temporary = filepath.Join(program.Temporary, "nowhere")
	_, err = server.Start(within(t), server.Options{}, program)
	require.ErrorContains(t, err, "prepare Sample's folder")
	program = announcing("")
	program.Command = func(server.Place) process.Command { return process.Command{Path: "/nowhere"} }
	_, err = server.Start(within(t), server.Options{}, program)
	require.ErrorContains(t, err, "start /nowhere")
}

func TestAStartThatDoesNotAnswerEndsWithItsContextAndLeavesNothing(t *testing.T) {
	program, folder := announcing("hang"), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := server.Start(ctx, server.Options{Dir: folder}, program)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.NoFileExists(t, filepath.Join(folder, "sample.pid"), "the process has ended")
}

func TestAPortThatSomebodyTakesFirstIsReplacedByAnother(t *testing.T) {
	program := told("")
	var tried []int
	taken, command := 2, program.Command
	program.Command = func(place server.Place) process.Command {
		if tried = append(tried, place.Port); len(tried) <= taken {
			stranger, err := net.Listen("tcp", place.Address())
			require.NoError(t, err)
			t.Cleanup(func() { _ = stranger.Close() })
		}
		return command(place)
	}
	started := start(t, server.Options{}, program)
	require.Len(t, tried, 3)
	assert.Equal(t, tried[2], started.Port())

	tried, taken = nil, 100
	_, err := server.Start(within(t), server.Options{}, program)
	require.ErrorContains(t, err, "address already in use")
	assert.Len(t, tried, 5, "it is tried so often, not for ever")

	tried, taken = nil, 1
	port, err := process.FreePort()
	require.NoError(t, err)
	_, err = server.Start(within(t), server.Options{Port: port}, program)
	require.ErrorContains(t, err, "127.0.0.1:"+strconv.Itoa(port))
	assert.Equal(t, []int{port}, tried, "the caller's port is not replaced")
}

func TestAStartThatFailsForAnotherReasonIsNotTriedAgain(t *testing.T) {
	for _, taken := range []string{"address already in use", ""} {
		program, starts := told("fail"), 0
		program.PortTaken = taken
		command := program.Command
		program.Command = func(place server.Place) process.Command { starts++; return command(place) }
		_, err := server.Start(within(t), server.Options{}, program)
		require.ErrorContains(t, err, "no luck")
		assert.Equal(t, 1, starts)
	}
}

func TestAFolderThatAKilledServersChildrenHoldIsTriedAgain(t *testing.T) {
	folder, counter := t.TempDir(), filepath.Join(t.TempDir(), "counter")
	held := announcing("held:" + counter)
	held.Held = []string{"another text", "the folder is held"}

	_, err := server.Start(within(t), server.Options{Dir: folder}, held)
	require.ErrorContains(t, err, "the folder is held", "nobody was killed: it is a stranger who holds it")

	require.NoError(t, os.Remove(counter))
	start(t, server.Options{Dir: folder}, announcing(""))
	start(t, server.Options{Dir: folder}, held)
	tries, err := os.ReadFile(counter)
	require.NoError(t, err)
	assert.Len(t, tries, 3)

	other, starts := announcing("fail"), 0
	other.Held = held.Held
	command := other.Command
	other.Command = func(place server.Place) process.Command { starts++; return command(place) }
	_, err = server.Start(within(t), server.Options{Dir: folder}, other)
	require.ErrorContains(t, err, "no luck")
	assert.Equal(t, 1, starts, "another reason is not waited for")
}

func TestAFolderThatIsHeldIsNotWaitedForOnceTheContextHasEnded(t *testing.T) {
	folder := t.TempDir()
	start(t, server.Options{Dir: folder}, announcing(""))
	ctx, cancel := context.WithCancel(within(t))
	held, starts := announcing("hang"), 0
	held.Held = []string{"hello of hang"}
	command := held.Command
	held.Command = func(place server.Place) process.Command { starts++; return command(place) }
	held.Ready = func(_ context.Context, place server.Place) error {
		if log, _ := os.ReadFile(filepath.Join(place.Dir, "sample.log")); strings.Contains(string(log), held.Held[0]) {
			cancel()
		}
		return errors.New("not ready")
	}
	_, err := server.Start(ctx, server.Options{Dir: folder}, held)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, held.Held[0])
	assert.Equal(t, 1, starts)
}

func TestInitialisationIsDoneOnceForAFolder(t *testing.T) {
	folder := t.TempDir()
	var passwords []string
	failing := true
	program := announcing("")
	program.Initialise = func(_ context.Context, place server.Place) error {
		passwords = append(passwords, place.Password)
		if err := os.Mkdir(place.Data(), 0o700); err != nil { // so it is not there
			return err
		}
		if failing {
			return errors.New("interrupted")
		}
		return os.WriteFile(filepath.Join(place.Data(), "made"), nil, 0o600)
	}
	_, err := server.Start(within(t), server.Options{Dir: folder}, program)
	require.ErrorContains(t, err, "initialise Sample in "+folder+": interrupted")

	failing = false
	first := start(t, server.Options{Dir: folder}, program)
	require.Len(t, passwords, 2, "what was interrupted is done again")
	assert.Equal(t, passwords[1], first.Password())
	assert.GreaterOrEqual(t, len(first.Password()), 26)
	assert.NotEqual(t, passwords[0], passwords[1])
	require.NoError(t, first.Stop(within(t)))
	assert.FileExists(t, filepath.Join(folder, "data", "made"))

	again := start(t, server.Options{Dir: folder}, program)
	assert.Len(t, passwords, 2)
	assert.Equal(t, first.Password(), again.Password())
	require.NoError(t, again.Stop(within(t)))

	fresh := start(t, server.Options{Dir: folder, Fresh: true}, program)
	assert.Len(t, passwords, 3)
	assert.NotEqual(t, first.Password(), fresh.Password())
	info, err := os.Stat(filepath.Join(folder, "password"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestAPasswordThatCannotBeReadDoesNotCostTheData(t *testing.T) {
	folder := t.TempDir()
	kept := filepath.Join(folder, "data", "kept")
	require.NoError(t, os.MkdirAll(filepath.Dir(kept), 0o700))
	require.NoError(t, os.WriteFile(kept, nil, 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(folder, "password"), 0o700))
	program := announcing("")
	program.Initialise = func(context.Context, server.Place) error { return nil }
	_, err := server.Start(within(t), server.Options{Dir: folder}, program)
	require.ErrorContains(t, err, "password")
	assert.FileExists(t, kept)
}

func TestAServerWithoutInitialisationHasNoPassword(t *testing.T) {
	started := start(t, server.Options{}, announcing(""))
	assert.Empty(t, started.Password())
	assert.NoFileExists(t, filepath.Join(started.Dir(), "password"))
}

func TestAnEndWithoutAnErrorIsOneOfItsOwn(t *testing.T) {
	started := start(t, server.Options{}, announcing("talk"))
	connection, err := net.Dial("tcp", started.Address())
	require.NoError(t, err)
	_, err = connection.Write([]byte("exit"))
	require.NoError(t, err)
	<-started.Exited()
	require.ErrorContains(t, started.Err(), "Sample on "+started.Address()+" ended by itself: exit status 0")
	require.ErrorContains(t, started.Err(), "hello of talk | asked to leave")
}

func TestAServerThatDoesNotListenToTheStopIsKilled(t *testing.T) {
	program := announcing("deaf")
	started, err := server.Start(within(t), server.Options{}, program)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = started.Stop(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "stop Sample on "+started.Address())
	<-started.Exited()
	require.NoError(t, started.Err(), "it was asked to end")
	assert.NoDirExists(t, started.Dir())
}
