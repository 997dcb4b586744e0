package engine

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment/outputs"
)

// stub is an engine that notes what becomes of it.
type stub struct {
	*Kind[*stub]
	mutex       *sync.Mutex
	events      *[]string
	name        string
	environment map[string]string
	credentials aws.Credentials
	failed      error
	exited      chan struct{}
	ended       error
	// meanwhile happens while it starts.
	meanwhile func(context.Context) error
}

func (s *stub) note(event string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	*s.events = append(*s.events, event+" "+s.name)
}

func (s *stub) Endpoint() string { return "http://" + s.name }

func (s *stub) Stop(context.Context) error {
	s.note("stop")
	if s.ended == nil {
		close(s.exited)
	}
	return nil
}

func (s *stub) Exited() <-chan struct{} { return s.exited }

func (s *stub) Err() error { return s.ended }

// end is one that nobody asked for.
func (s *stub) end(reason string) {
	s.ended = errors.New(reason)
	close(s.exited)
}

// stubs are two servers and a host in the place of All.
func stubs(t *testing.T) (first, second, host *stub, events *[]string) {
	t.Helper()
	events, mutex := &[]string{}, &sync.Mutex{}
	make := func(name, endpoint string, host bool) *stub {
		s := &stub{name: name, events: events, mutex: mutex, exited: make(chan struct{})}
		serve := func(ctx context.Context, options options) (*stub, error) {
			s.note("start")
			s.environment, s.credentials = options.environment, options.credentials
			if s.meanwhile != nil {
				return s, s.meanwhile(ctx)
			}
			return s, s.failed
		}
		s.Kind = &Kind[*stub]{name: name, endpoints: []string{endpoint}, host: host, serve: serve}
		return s
	}
	first, second, host = make("first", "FIRST", false), make("second", "SECOND", false), make("host", "HOST", true)
	before := All
	t.Cleanup(func() { All = before })
	All = []Engine{host.Kind, first.Kind, second.Kind}
	return first, second, host, events
}

func TestStart_hostsStartWithEveryServersEndpointAndStopFirst(t *testing.T) {
	first, second, host, events := stubs(t)
	running, err := Start(t.Context(), All, Options{Dir: t.TempDir()})
	require.NoError(t, err)
	require.Len(t, *events, 3)
	assert.ElementsMatch(t, []string{"start first", "start second"}, (*events)[:2])
	assert.Equal(t, "start host", (*events)[2])
	assert.Equal(t, map[string]string{"FIRST": "http://first", "SECOND": "http://second"}, host.environment)
	assert.Empty(t, first.environment)
	assert.Same(t, second, second.In(running))

	expected := outputs.Endpoints{
		"FIRST": "http://first", "SECOND": "http://second", "HOST": "http://host",
		"AWS_ACCESS_KEY_ID":     running.Credentials().AccessKeyID,
		"AWS_SECRET_ACCESS_KEY": running.Credentials().SecretAccessKey, "AWS_REGION": Region,
	}
	maps.Copy(expected, outputs.Apart(Region))
	assert.Equal(t, expected, running.Endpoints())
	assert.Equal(t, host.environment, running.HostOptions().Environment, "another host does not call this one")
	assert.Equal(t, running.Credentials(), running.HostOptions().Credentials)
	for _, engine := range []*stub{first, second, host} {
		assert.Equal(t, running.Credentials(), engine.credentials, engine.name)
	}
	other, err := Start(t.Context(), nil, Options{Dir: t.TempDir()})
	require.NoError(t, err)
	assert.NotEqual(t, running.Credentials().AccessKeyID, other.Credentials().AccessKeyID, "each run has its own")

	*events = nil
	require.NoError(t, running.Stop(t.Context()))
	require.Len(t, *events, 3)
	assert.Equal(t, "stop host", (*events)[0])
	assert.ElementsMatch(t, []string{"stop first", "stop second"}, (*events)[1:])
}

func TestStart_startsWhatIsNeededOnly(t *testing.T) {
	first, second, _, events := stubs(t)
	running, err := Start(t.Context(), []Engine{first.Kind}, Options{Dir: t.TempDir()})
	require.NoError(t, err)
	assert.Equal(t, []string{"start first"}, *events)
	assert.NotContains(t, running.Endpoints(), "SECOND")
	unneeded := "the engine second was not started: nothing that is made in it says that it needs it"
	assert.PanicsWithValue(t, unneeded, func() { second.In(running) })
}

func TestStart_stopsWhatItStartedWhenOneFails(t *testing.T) {
	first, _, host, events := stubs(t)
	host.failed = errors.New("no place")
	_, err := Start(t.Context(), []Engine{first.Kind, host.Kind}, Options{Dir: t.TempDir()})
	require.EqualError(t, err, "host: no place")
	assert.Equal(t, []string{"start first", "start host", "stop first"}, *events)
}

// An engine that ends while others start ends the start with its reason, not with what followed.
func TestStart_tellsOfAnEngineThatEndsMeanwhile(t *testing.T) {
	first, _, host, _ := stubs(t)
	host.meanwhile = func(ctx context.Context) error {
		first.end("killed")
		<-ctx.Done()
		return errors.New("connection refused")
	}
	folder := t.TempDir()
	_, err := Start(t.Context(), []Engine{first.Kind, host.Kind}, Options{Dir: folder})
	require.EqualError(t, err, "the engine first has ended, see "+filepath.Join(folder, "first")+": killed")
}

func TestRunning_tellsOfTheFirstEngineThatEndsUnasked(t *testing.T) {
	first, second, host, _ := stubs(t)
	folder := t.TempDir()
	running, err := Start(t.Context(), All, Options{Dir: folder})
	require.NoError(t, err)
	select {
	case <-running.Exited():
		require.Fail(t, "all run")
	default:
		require.NoError(t, running.Err())
	}
	second.end("killed")
	<-running.Exited()
	told := "the engine second has ended, see " + filepath.Join(folder, "second") + ": killed"
	require.EqualError(t, running.Err(), told)
	host.end("connection refused")
	require.NoError(t, running.Stop(t.Context()))
	<-first.exited
	require.EqualError(t, running.Err(), told, "what follows from an end does not hide it")
}

func TestRunning_tellsOfServersThatOthersStarted(t *testing.T) {
	_, second, _, _ := stubs(t)
	running, err := Start(t.Context(), nil, Options{Dir: t.TempDir()})
	require.NoError(t, err)
	running.Watch("database", "the.log", second)
	second.end("killed")
	<-running.Exited()
	require.EqualError(t, running.Err(), "the engine database has ended, see the.log: killed")
}

func TestRunning_anEndThatWasAskedForIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stubs(t)
		running, err := Start(t.Context(), All, Options{Dir: t.TempDir()})
		require.NoError(t, err)
		require.NoError(t, running.Stop(t.Context()))
		synctest.Wait()
		require.NoError(t, running.Err())
	})
}

// A file that names a process is read in the folder of every engine, needed or not.
func TestStart_endsWhatAnEarlierRunLeft(t *testing.T) {
	stubs(t)
	folder := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "second"), 0o700))
	left := filepath.Join(folder, "second", "second.pid")
	require.NoError(t, os.WriteFile(left, []byte("not a process\n"), 0o600))
	_, err := Start(t.Context(), nil, Options{Dir: folder})
	require.ErrorContains(t, err, "stopping what an earlier run left")
	require.NoError(t, os.Remove(left))
	_, err = Start(t.Context(), nil, Options{Dir: folder})
	require.NoError(t, err)
}

func TestEveryEngineHasItsOwnNameAndVariables(t *testing.T) {
	names, variables := map[string]bool{}, map[string]bool{}
	for _, one := range All {
		assert.NotContains(t, names, one.Name())
		names[one.Name()] = true
		for _, variable := range one.variables() {
			assert.NotContains(t, variables, variable)
			variables[variable] = true
		}
	}
}
