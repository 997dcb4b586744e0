package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/wait"
)

const shell = "/bin/sh"

// parentScript makes the test binary a parent that runs the script as its child, with its own
// standard output, and waits to be killed; parentSignal=INT gives the child that death signal.
const (
	parentScript = "DIECAST_TEST_PARENT_SCRIPT"
	parentSignal = "DIECAST_TEST_PARENT_SIGNAL"
	// parentGuard has the parent start a guard, which is the test binary with this one argument.
	parentGuard = "DIECAST_TEST_PARENT_GUARD"
	guardOnly   = "guard-of-a-test"
	// brokenPipes has the test binary break a socket, and tell then of the first SIGPIPE.
	brokenPipes = "DIECAST_TEST_BROKEN_PIPES"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == guardOnly {
		if err := Guard(os.Stdin); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(brokenPipes) != "" {
		breakPipes()
		os.Exit(0)
	}
	if script := os.Getenv(parentScript); script != "" {
		command := sh(script)
		command.Output = os.Stdout
		if os.Getenv(parentSignal) == "INT" {
			command.DeathSignal = syscall.SIGINT
		}
		if os.Getenv(parentGuard) != "" {
			if _, err := StartGuard(func(string) {}, os.Args[0], guardOnly); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
		if _, err := Start(command); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		select {}
	}
	os.Exit(m.Run())
}

var plain = []string{"PATH=/usr/bin:/bin"}

func sh(script string) Command {
	return Command{Path: shell, Arguments: []string{"-c", script}, Environment: plain}
}

// lines gives the child's output to the test; reading returns io.EOF when nobody holds it open any
// more.
func lines(t *testing.T, command Command) (*Process, func() string, *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { reader.Close() })
	command.Output = writer
	p, err := Start(command)
	require.NoError(t, errors.Join(err, writer.Close()))
	t.Cleanup(p.Kill)
	return p, func() string {
		var line []byte
		for one := make([]byte, 1); ; {
			if _, err := reader.Read(one); err != nil || one[0] == '\n' {
				return string(line)
			}
			line = append(line, one[0])
		}
	}, reader
}

func TestRun_outputEnvironmentAndStatus(t *testing.T) {
	t.Setenv("LEAKED", "yes")
	var output bytes.Buffer
	command := sh(`echo "out $OWN $LEAKED"; echo err >&2; pwd`)
	command.Environment = append(command.Environment, "OWN=1")
	command.Dir, command.Output = "/", &output
	require.NoError(t, Run(t.Context(), command))
	assert.Equal(t, "out 1 \nerr\n/\n", output.String())

	command = Command{Path: "/usr/bin/env", Output: &output}
	output.Reset()
	require.NoError(t, Run(t.Context(), command))
	assert.Equal(t, marked(mark)+"\n", output.String(), "nothing is inherited where no environment is given")

	var exit *exec.ExitError
	require.ErrorAs(t, Run(t.Context(), sh("exit 3")), &exit)
	assert.Equal(t, 3, exit.ExitCode())
	require.ErrorContains(t, Run(t.Context(), Command{Path: "/nowhere"}), "start /nowhere")
}

func TestRun_endsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan error)
	command := sh("echo ready; sleep 3600")
	command.Output = writer
	go func() { ended <- Run(ctx, command) }()
	_, err := reader.Read(make([]byte, 10))
	require.NoError(t, err)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

// breakPipes is what the test below runs as a process of its own.
func breakPipes() {
	blocked := BlockBrokenPipes() // begins anew, the first time
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGPIPE)
	listener, err := net.Listen("tcp", net.JoinHostPort(Loopback, "0"))
	if err != nil {
		panic(err)
	}
	ours, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		panic(err)
	}
	theirs, err := listener.Accept()
	if err != nil {
		panic(err)
	}
	_ = theirs.(*net.TCPConn).SetLinger(0)
	_ = theirs.Close()
	for !errors.Is(err, syscall.EPIPE) {
		_, err = ours.Write([]byte("x"))
	}
	child := sh("kill -PIPE $$; echo survived")
	child.Output = os.Stdout
	err = Run(context.Background(), child)
	fmt.Printf("blocked %t, signals %d, child: %v\n", blocked, len(received), err)
	fmt.Println((<-received).String())
	<-received
}

// SIGPIPE of a socket whose other side has gone reaches nobody, one that is sent does, and children
// have the signal as usual.
func TestBlockBrokenPipes(t *testing.T) {
	if !onLinux(t) {
		return
	}
	self, err := os.Executable()
	require.NoError(t, err)
	breaking := exec.Command(self)
	breaking.Env = append(os.Environ(), brokenPipes+"=1")
	output, err := breaking.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, breaking.Start())
	line := make([]byte, 100)
	n, err := output.Read(line)
	require.NoError(t, err)
	assert.Equal(t, "blocked true, signals 0, child: signal: broken pipe\n", string(line[:n]))
	require.NoError(t, breaking.Process.Signal(syscall.SIGPIPE))
	n, err = output.Read(line)
	require.NoError(t, err)
	assert.Equal(t, "broken pipe\n", string(line[:n]))
	require.NoError(t, breaking.Process.Signal(syscall.SIGPIPE))
	require.NoError(t, breaking.Wait())
}

func TestStop_asksFirst(t *testing.T) {
	p, line, _ := lines(t, sh(`trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.01; done`))
	require.Equal(t, "ready", line())
	require.NoError(t, p.Stop(t.Context()))
	assert.Equal(t, "asked", line())
	require.NoError(t, p.Err())
	require.NoError(t, p.Stop(t.Context()), "stopping twice does nothing")
	p.Kill()
}

func TestStop_hasItsOwnSignal(t *testing.T) {
	command := sh(`trap 'echo interrupted; exit 0' INT; echo ready; while :; do sleep 0.01; done`)
	command.StopSignal = syscall.SIGINT
	p, line, _ := lines(t, command)
	require.Equal(t, "ready", line())
	require.NoError(t, p.Stop(t.Context()))
	assert.Equal(t, "interrupted", line())
}

func TestStop_killsWhoDoesNotListen(t *testing.T) {
	stubborn := `trap '' TERM; echo ready; while :; do sleep 0.01; done`
	t.Run("after the grace period", func(t *testing.T) {
		command := sh(stubborn)
		command.Grace = 20 * time.Millisecond
		p, line, _ := lines(t, command)
		require.Equal(t, "ready", line())
		require.ErrorContains(t, p.Stop(t.Context()), "the grace period of 20ms is over")
		require.ErrorContains(t, p.Err(), "signal: killed")
	})
	t.Run("when the context ends first", func(t *testing.T) {
		command := sh(stubborn)
		command.Grace = time.Hour
		p, line, _ := lines(t, command)
		require.Equal(t, "ready", line())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, p.Stop(ctx), context.Canceled)
	})
}

func TestGroup_endsWithItsLeader(t *testing.T) {
	for name, end := range map[string]func(*Process){
		"killed":       func(p *Process) { p.Kill() },
		"stopped":      func(p *Process) { _ = p.Stop(context.Background()) },
		"by itself":    func(p *Process) { _ = syscall.Kill(p.PID(), syscall.SIGINT) },
		"leader alone": func(p *Process) { _ = syscall.Kill(p.PID(), syscall.SIGKILL) },
	} {
		t.Run(name, func(t *testing.T) {
			p, line, output := lines(t, sh("sleep 3600 & echo $!; wait"))
			_, err := strconv.Atoi(line())
			require.NoError(t, err)
			end(p)
			<-p.Exited()
			rest, err := io.ReadAll(output) // ends when the grandchild has ended, too
			require.NoError(t, err)
			assert.Empty(t, rest)
		})
	}
}

func TestParent_killedTakesItsChildAlong(t *testing.T) {
	for name, c := range map[string]struct{ script, last string }{
		"killed":            {"trap '' TERM INT; echo child $$; exec sleep 3600", ""},
		"its own last word": {"trap 'echo bye; exit' INT; echo child $$; while :; do sleep 0.01; done", "bye\n"},
	} {
		t.Run(name, func(t *testing.T) {
			reader, writer, err := os.Pipe()
			require.NoError(t, err)
			defer reader.Close()
			self, err := os.Executable()
			require.NoError(t, err)
			parent := exec.Command(self)
			parent.Env = append(os.Environ(), parentScript+"="+c.script)
			if c.last != "" {
				parent.Env = append(parent.Env, parentSignal+"=INT")
			}
			parent.Stdout, parent.Stderr = writer, writer
			require.NoError(t, errors.Join(parent.Start(), writer.Close()))
			var child int
			_, err = fmt.Fscanf(reader, "child %d\n", &child)
			require.NoError(t, err)
			require.NoError(t, syscall.Kill(child, 0))

			require.NoError(t, parent.Process.Kill())
			require.Error(t, parent.Wait())
			rest, err := io.ReadAll(reader) // ends when the child has ended
			require.NoError(t, err)
			assert.Equal(t, c.last, string(rest))
		})
	}
}

func TestWaitReady(t *testing.T) {
	t.Run("asks until the answer is yes", func(t *testing.T) {
		p, _, _ := lines(t, sh("exec sleep 3600"))
		asked := 0
		require.NoError(t, p.WaitReady(t.Context(), func(context.Context) error {
			if asked++; asked < 3 {
				return errors.New("not yet")
			}
			return nil
		}))
		assert.Equal(t, 3, asked)
	})
	t.Run("fails with the child", func(t *testing.T) {
		p, _, _ := lines(t, sh("exit 4"))
		err := p.WaitReady(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		require.ErrorContains(t, err, "ended before it was ready: exit status 4")
	})
	t.Run("does not believe a stranger when the child has ended", func(t *testing.T) {
		p, _, _ := lines(t, sh("exit 0"))
		<-p.Exited()
		require.ErrorContains(t, p.WaitReady(t.Context(), func(context.Context) error { return nil }), "exit status 0")
	})
	t.Run("ends at once where waiting mends nothing", func(t *testing.T) {
		p, _, _ := lines(t, sh("exec sleep 3600"))
		begun, asked := time.Now(), 0
		denied := errors.New("access denied")
		err := p.WaitReady(t.Context(), func(context.Context) error {
			if asked++; asked == 1 {
				return errors.New("connection refused")
			}
			return wait.Permanent(denied)
		})
		require.EqualError(t, err, "sh refuses to serve: access denied")
		assert.Equal(t, 2, asked)
		assert.Less(t, time.Since(begun), strangerDelay+5*time.Second)
	})
	t.Run("does not believe a stranger who refuses", func(t *testing.T) {
		p, _, _ := lines(t, sh("sleep 0.2; exit 4"))
		err := p.WaitReady(t.Context(), func(context.Context) error { return wait.Permanent(errors.New("denied")) })
		require.ErrorContains(t, err, "ended before it was ready: exit status 4")
	})
	t.Run("has an end", func(t *testing.T) {
		command := sh("exec sleep 3600")
		command.ReadyWithin = 50 * time.Millisecond
		p, _, _ := lines(t, command)
		err := p.WaitReady(t.Context(), func(context.Context) error { return errors.New("connection refused") })
		require.EqualError(t, err, "sh was not ready in time: 50ms have passed: connection refused")
	})
	t.Run("fails with the context and the last answer", func(t *testing.T) {
		p, _, _ := lines(t, sh("exec sleep 3600"))
		ctx, cancel := context.WithCancel(t.Context())
		refused := errors.New("connection refused")
		err := p.WaitReady(ctx, func(context.Context) error { cancel(); return refused })
		require.ErrorIs(t, err, refused)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestCleanUp_killsWhatAFileStillNames(t *testing.T) {
	folder := t.TempDir()
	command := sh("sleep 3600 & echo ready; wait")
	command.PIDFile = filepath.Join(folder, "engine.pid")
	p, line, output := lines(t, command)
	require.Equal(t, "ready", line())
	content, err := os.ReadFile(command.PIDFile)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(content), strconv.Itoa(p.PID())+"\n"), "%q", content)

	// Somebody else's process that got the number of an old file.
	stranger, _, _ := lines(t, sh("exec sleep 3600"))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "old.pid"), fmt.Appendf(nil, "%d\nanother start\n",
		stranger.PID()), 0o600))

	killed, err := CleanUp(folder)
	require.NoError(t, err)
	assert.Equal(t, []int{p.PID()}, killed)
	_, err = io.ReadAll(output) // the grandchild is gone, too
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(stranger.PID(), 0))
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Empty(t, left)

	killed, err = CleanUp(filepath.Join(folder, "nowhere"))
	require.NoError(t, err)
	assert.Empty(t, killed)
}

// A run's folder that was copied while the run was up, or a file that somebody wrote, names
// processes that are not the run's.
func TestCleanUp_leavesAloneWhatAnotherFileNames(t *testing.T) {
	folder := t.TempDir()
	command := sh("echo ready; exec sleep 3600")
	command.PIDFile = filepath.Join(t.TempDir(), "engine.pid")
	p, line, _ := lines(t, command)
	require.Equal(t, "ready", line())
	content, err := os.ReadFile(command.PIDFile)
	require.NoError(t, err)
	told := strings.Split(string(content), "\n")
	for name, text := range map[string]string{
		"copy": string(content), "number": told[0], "number and start": told[0] + "\n" + told[1] + "\n",
		"another file": strings.Join([]string{told[0], told[1], "file 1 of 1"}, "\n"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name+".pid"), []byte(text), 0o600))
	}
	killed, err := CleanUp(folder)
	require.NoError(t, err)
	assert.Empty(t, killed)
	require.NoError(t, syscall.Kill(p.PID(), 0))

	require.NoError(t, os.WriteFile(filepath.Join(folder, "open.pid"), content, 0o600))
	require.NoError(t, os.Chmod(filepath.Join(folder, "open.pid"), 0o666))
	_, err = CleanUp(folder)
	require.ErrorContains(t, err, "is no file that this user alone can write: remove it")
	require.NoError(t, os.Remove(filepath.Join(folder, "open.pid")))
	require.NoError(t, os.Symlink(command.PIDFile, filepath.Join(folder, "link.pid")))
	_, err = CleanUp(folder)
	require.Error(t, err)
	require.NoError(t, syscall.Kill(p.PID(), 0))
}

// What a child writes its user alone may read, whatever umask this process has.
func TestFilesOfAChildAreItsUsersAlone(t *testing.T) {
	folder := t.TempDir()
	inherited := syscall.Umask(0o022)
	t.Cleanup(func() { syscall.Umask(inherited) })
	command := sh("echo x > file; mkdir folder")
	command.Dir = folder
	require.NoError(t, Run(t.Context(), command))
	for name, mode := range map[string]os.FileMode{"file": 0o600, "folder": 0o700} {
		info, err := os.Stat(filepath.Join(folder, name))
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode().Perm(), name)
	}
	assert.Equal(t, 0o022, syscall.Umask(0o022), "this process keeps its own")
}

func TestCleanUp_refusesWhatIsNoPIDFile(t *testing.T) {
	for name, content := range map[string]string{"text": "hello", "everybody": "-1\nx", "init": "1\nx",
		"group of the caller": "0\nx"} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(folder, "a.pid"), []byte(content), 0o600))
			_, err := CleanUp(folder)
			require.ErrorContains(t, err, "is no process id: remove the file")
		})
	}
}

func TestPIDFile_goesWithTheChild(t *testing.T) {
	command := sh("exit 0")
	command.PIDFile = filepath.Join(t.TempDir(), "engine.pid")
	require.NoError(t, Run(t.Context(), command))
	assert.NoFileExists(t, command.PIDFile)

	command.PIDFile = filepath.Join(t.TempDir(), "nowhere", "engine.pid")
	_, err := Start(command)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestFreePort_isFree(t *testing.T) {
	port, err := FreePort()
	require.NoError(t, err)
	listener, err := net.Listen("tcp", net.JoinHostPort(Loopback, strconv.Itoa(port)))
	require.NoError(t, err)
	require.NoError(t, listener.Close())
}

func TestTail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(file, []byte("first\nsecond\nthird\n\n"), 0o600))
	assert.Equal(t, "second | third", Tail(file, len("second\nthird")))
	assert.Equal(t, "first | second | third", Tail(file, 1000))
	assert.Contains(t, Tail(file+"x", 10), "no such file")
}
