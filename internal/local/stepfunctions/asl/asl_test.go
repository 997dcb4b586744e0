package asl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// knownResources are the resources of these tests.
var knownResources = Integrations{"shop:sell": {"Item", "Count", "Note"}, "shop:count": {}}

func parsed(t *testing.T, definition string) *Machine {
	t.Helper()
	machine, err := Parse(definition, knownResources)
	require.NoError(t, err)
	return machine
}

// reply is how a resource answers once.
type reply func(ctx context.Context, task Task) (any, error)

func answers(output any) reply {
	return func(context.Context, Task) (any, error) { return output, nil }
}

func fails(name string) reply {
	return func(context.Context, Task) (any, error) { return nil, &Failure{name, "why"} }
}

// execute runs a machine in time that passes by itself, with the answers of its resources in turn.
func execute(t *testing.T, definition, input string, calls ...reply) (last Event, history []Event, took time.Duration) {
	t.Helper()
	machine := parsed(t, definition)
	synctest.Test(t, func(t *testing.T) {
		begun, at := time.Now(), 0
		last = machine.Run(t.Context(), Execution{
			ID: "arn:execution", Name: "first", MachineID: "arn:machine", MachineName: "machine", Input: input,
			Told: func(event Event) { history = append(history, event) },
			Invoke: func(ctx context.Context, task Task) (any, error) {
				require.Less(t, at, len(calls), "call %d of %s", at+1, task.Resource)
				at++
				return calls[at-1](ctx, task)
			},
		})
		took = time.Since(begun)
		assert.Equal(t, len(calls), at, "calls")
	})
	return last, history, took
}

// one is a machine with a single state, and one to which it may lead.
func one(state string) string {
	return `{"StartAt":"A","States":{"A":` + state + `,"B":{"Type":"Succeed"}}}`
}

// alone is a machine with nothing but a state.
func alone(state string) string { return `{"StartAt":"A","States":{"A":` + state + `}}` }

func TestDataFlow(t *testing.T) {
	for name, c := range map[string]struct{ state, input, want string }{
		"a Pass hands on": {`{"Type":"Pass","End":true}`, `{"a":1}`, `{"a":1}`},
		"with a Result":   {`{"Type":"Pass","Result":{"b":2},"End":true}`, `{"a":1}`, `{"b":2}`},
		"in its place": {`{"Type":"Pass","Result":2,"ResultPath":"$.x.y","End":true}`, `{"a":1}`,
			`{"a":1,"x":{"y":2}}`},
		"over what is there": {`{"Type":"Pass","Result":2,"ResultPath":"$.a","End":true}`, `{"a":{"b":1}}`, `{"a":2}`},
		"nowhere":            {`{"Type":"Pass","Result":2,"ResultPath":null,"End":true}`, `{"a":1}`, `{"a":1}`},
		"InputPath":          {`{"Type":"Pass","InputPath":"$.a.b","End":true}`, `{"a":{"b":[1]}}`, `[1]`},
		"no input":           {`{"Type":"Pass","InputPath":null,"End":true}`, `{"a":1}`, `{}`},
		"OutputPath":         {`{"Type":"Pass","OutputPath":"$.a","End":true}`, `{"a":1}`, `1`},
		"no output":          {`{"Type":"Succeed","OutputPath":null}`, `{"a":1}`, `{}`},
		"Parameters": {`{"Type":"Pass","Parameters":{"c":[{"d.$":"$.a"}],"n":"$$.Execution.Name",` +
			`"e.$":"$$.Execution.Name",` +
			`"i.$":"$$.Execution.Input.a","s.$":"$$.State.Name"},"End":true}`, `{"a":1.50}`,
			`{"c":[{"d":1.50}],"n":"$$.Execution.Name","e":"first","i":1.50,"s":"A"}`},
		"digits stay": {`{"Type":"Pass","End":true}`, `{"a":123456789012345678901}`, `{"a":123456789012345678901}`},
		"no HTML":     {`{"Type":"Pass","End":true}`, `{"a":"<&>"}`, `{"a":"<&>"}`},
	} {
		t.Run(name, func(t *testing.T) {
			last, _, _ := execute(t, alone(c.state), c.input)
			assert.Equal(t, Event{Type: Succeeded, Data: last.Data}, last)
			assert.JSONEq(t, c.want, last.Data)
			assert.Equal(t, strings.Contains(c.want, "12345678901234567890"),
				strings.Contains(last.Data, "123456789012345678901"))
		})
	}
}

// What an execution is given is not changed by what it makes of it.
func TestPutLeavesItsDataAlone(t *testing.T) {
	data, err := decode([]byte(`{"a":{"b":1}}`))
	require.NoError(t, err)
	to, err := parsePath("$.a.c")
	require.NoError(t, err)
	changed, ok := to.put(data, "new")
	require.True(t, ok)
	assert.Equal(t, `{"a":{"b":1,"c":"new"}}`, encode(changed))
	assert.Equal(t, `{"a":{"b":1}}`, encode(data))
}

func TestIntrinsics(t *testing.T) {
	for expression, want := range map[string]string{
		`States.Format('{} of {}', $.n, $.t)`:                        `"3 of text"`,
		`States.Format('none')`:                                      `"none"`,
		`States.Format('it\'s \{{}\} \\', true)`:                     `"it's {true} \\"`,
		`States.Format('{}{}', null, 1.5)`:                           `"null1.5"`,
		`States.Format('{}', States.Format('{}!', $.t))`:             `"text!"`,
		`States.Format('ü {}', 'ß')`:                                 `"ü ß"`,
		`States.StringToJson($.j)`:                                   `{"k":[1,2]}`,
		`States.StringToJson('\{"a":1\}')`:                           `{"a":1}`,
		`States.JsonMerge($.o, $.p, false)`:                          `{"a":1,"b":3,"c":{"e":2}}`,
		`States.JsonMerge($.o, States.StringToJson('\{\}'), false)`:  `{"a":1,"b":2,"c":{"d":1}}`,
		`States.ArrayGetItem($.l, 1)`:                                `"y"`,
		`  States.ArrayGetItem( $.l , 0 )`:                           `"x"`,
		`States.ArrayGetItem($.l, States.ArrayGetItem($.numbers,0))`: `"y"`,
	} {
		t.Run(expression, func(t *testing.T) {
			definition := alone(fmt.Sprintf(`{"Type":"Pass","Parameters":{"v.$":%s},"End":true}`, encode(expression)))
			last, _, _ := execute(t, definition, `{"n":3,"t":"text","j":"{\"k\":[1,2]}","l":["x","y"],"numbers":[1],`+
				`"o":{"a":1,"b":2,"c":{"d":1}},"p":{"b":3,"c":{"e":2}}}`)
			require.Equal(t, Succeeded, last.Type, last.Cause)
			assert.JSONEq(t, `{"v":`+want+`}`, last.Data)
		})
	}
}

func TestIntrinsicsFailByName(t *testing.T) {
	for expression, want := range map[string]string{
		`States.Format('{}', $.o)`:                      "no text, number, boolean or null",
		`States.StringToJson($.t)`:                      "is no JSON",
		`States.StringToJson($.n)`:                      "is no text",
		`States.StringToJson('1 2')`:                    "more than one value",
		`States.JsonMerge($.o, $.n, false)`:             "not both objects",
		`States.JsonMerge($.o, $.o, true)`:              "only a shallow merge",
		`States.ArrayGetItem($.l, 1)`:                   "no item 1 among 1",
		`States.ArrayGetItem($.l, -1)`:                  "no item -1 among 1",
		`States.ArrayGetItem($.l, 0.5)`:                 "no list and whole number",
		`States.ArrayGetItem($.o, 0)`:                   "no list and whole number",
		`States.Format('{}', States.Format('{}', $.l))`: "no text, number",
	} {
		t.Run(expression, func(t *testing.T) {
			definition := alone(fmt.Sprintf(`{"Type":"Pass","Parameters":{"v.$":%s},"End":true}`, encode(expression)))
			last, _, _ := execute(t, definition, `{"n":3,"t":"text","o":{},"l":["x"]}`)
			assert.Equal(t, Failed, last.Type)
			assert.Equal(t, IntrinsicFailure, last.Error)
			assert.Contains(t, last.Cause, want)
			assert.Contains(t, last.Cause, "state A: v: ")
		})
	}
}

func TestChoice(t *testing.T) {
	state := `{"Type":"Choice","Choices":[%s],"Default":"B"}`
	machine := `{"StartAt":"A","States":{"A":` + state + `,"B":{"Type":"Fail","Error":"no"},"C":{"Type":"Succeed"}}}`
	for rule, cases := range map[string]map[string]bool{
		`{"Variable":"$.a","StringEquals":"x","Next":"C"}`: {`{"a":"x"}`: true, `{"a":"y"}`: false,
			`{"a":1}`: false},
		`{"Variable":"$.a.b","IsPresent":true,"Next":"C"}`: {`{"a":{"b":null}}`: true, `{"a":{}}`: false,
			`{"a":1}`: false},
		`{"Variable":"$.a","IsPresent":false,"Next":"C"}`:        {`{"a":1}`: false, `[]`: true},
		`{"Not":{"Variable":"$.a","IsPresent":true},"Next":"C"}`: {`{"a":1}`: false, `{}`: true},
		`{"And":[{"Variable":"$.a","IsPresent":true},{"Variable":"$.a","StringEquals":"x"}],"Next":"C"}`: {
			`{}`: false, `{"a":"x"}`: true, `{"a":"y"}`: false},
		`{"Or":[{"Variable":"$.a","IsPresent":true},{"Variable":"$.b","IsPresent":true}],"Next":"C"}`: {
			`{}`: false, `{"a":0}`: true, `{"b":0}`: true},
	} {
		for input, holds := range cases {
			t.Run(rule+input, func(t *testing.T) {
				last, _, _ := execute(t, fmt.Sprintf(machine, rule), input)
				assert.Equal(t, holds, last.Type == Succeeded, last.Cause)
			})
		}
	}
	rule := `{"Variable":"$.a","StringEquals":"x","Next":"C"}`
	last, _, _ := execute(t, fmt.Sprintf(machine, rule), `{}`)
	assert.Equal(t, Runtime, last.Error, "a comparison of nothing")
	last, _, _ = execute(t, strings.Replace(fmt.Sprintf(machine, rule), `,"Default":"B"}`, `}`, 1)[:0]+
		`{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[`+rule+`]},"C":{"Type":"Succeed"}}}`, `{"a":"y"}`)
	assert.Equal(t, NoChoiceMatched, last.Error)
}

func TestWaitAndFail(t *testing.T) {
	last, _, took := execute(t, alone(`{"Type":"Wait","Seconds":90,"End":true}`), `{"a":1}`)
	assert.Equal(t, Succeeded, last.Type)
	assert.Equal(t, 90*time.Second, took)
	_, _, took = execute(t, alone(`{"Type":"Wait","SecondsPath":"$.a","End":true}`), `{"a":5}`)
	assert.Equal(t, 5*time.Second, took)
	for _, input := range []string{`{}`, `{"a":-1}`, `{"a":1.5}`, `{"a":"5"}`} {
		last, _, _ = execute(t, alone(`{"Type":"Wait","SecondsPath":"$.a","End":true}`), input)
		assert.Equal(t, Runtime, last.Error, input)
	}
	last, _, _ = execute(t, alone(`{"Type":"Fail","Error":"E","Cause":"C"}`), `{}`)
	assert.Equal(t, Event{Type: Failed, Error: "E", Cause: "C"}, last)
	last, _, _ = execute(t, alone(`{"Type":"Fail","ErrorPath":"$.e","CausePath":"$.c"}`), `{"e":"E","c":"C"}`)
	assert.Equal(t, Event{Type: Failed, Error: "E", Cause: "C"}, last)
	last, _, _ = execute(t, alone(`{"Type":"Fail","ErrorPath":"$.e","CausePath":"$.c"}`), `{"e":"E"}`)
	assert.Equal(t, Runtime, last.Error)
}

func TestTask(t *testing.T) {
	definition := alone(`{"Type":"Task","Resource":"arn:aws:states:::shop:sell","InputPath":"$.in",` +
		`"Parameters":{"Item.$":"$.item","Note":"n"},"ResultSelector":{"sold.$":"$.count"},"ResultPath":"$.out",` +
		`"TimeoutSeconds":60,"HeartbeatSeconds":20,"End":true}`)
	last, history, _ := execute(t, definition, `{"in":{"item":"car"}}`, func(_ context.Context, task Task) (any,
		error) {
		assert.Equal(t, "shop:sell", task.Resource)
		assert.Equal(t, map[string]any{"Item": "car", "Note": "n"}, task.Parameters)
		task.Submitted(map[string]any{"id": "1"})
		return map[string]any{"count": "2", "else": "x"}, nil
	})
	assert.JSONEq(t, `{"in":{"item":"car"},"out":{"sold":"2"}}`, last.Data)
	var types []string
	for _, event := range history {
		types = append(types, event.Type)
	}
	assert.Equal(t, []string{Started, "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSubmitted",
		"TaskSucceeded",
		"TaskStateExited", Succeeded}, types)
	assert.Equal(t, Event{Type: "TaskScheduled", State: "A", Resource: "shop:sell", Data: `{"Item":"car","Note":"n"}`,
		Timeout: 60, Heartbeat: 20}, history[2])
}

// failing is a Task that ends in E where its Retry does not end well.
func failing(more string) string {
	return one(`{"Type":"Task","Resource":"arn:aws:states:::shop:count",` + more + `"Next":"B"}`)
}

func TestRetry(t *testing.T) {
	for name, c := range map[string]struct {
		retry string
		calls []reply
		want  string
		took  time.Duration
	}{
		"backs off": {`{"ErrorEquals":["X"],"IntervalSeconds":2,"BackoffRate":3,"MaxAttempts":3}`,
			[]reply{fails("X"), fails("X"), fails("X"), answers(nil)}, Succeeded, (2 + 6 + 18) * time.Second},
		"by default": {`{"ErrorEquals":["X"]}`, []reply{fails("X"), fails("X"), fails("X"), fails("X")}, Failed,
			(1 + 2 + 4) * time.Second},
		"not for ever longer": {`{"ErrorEquals":["X"],"IntervalSeconds":2,"BackoffRate":3,"MaxDelaySeconds":5}`,
			[]reply{fails("X"), fails("X"), fails("X"), answers(nil)}, Succeeded, (2 + 5 + 5) * time.Second},
		"not at all":                {`{"ErrorEquals":["X"],"MaxAttempts":0}`, []reply{fails("X")}, Failed, 0},
		"not what it does not name": {`{"ErrorEquals":["Y"]}`, []reply{fails("X")}, Failed, 0},
		"all": {`{"ErrorEquals":["States.ALL"],"MaxAttempts":1}`, []reply{fails("X"), fails("Y")}, Failed,
			time.Second},
		"a task's": {`{"ErrorEquals":["States.TaskFailed"],"MaxAttempts":1}`, []reply{fails("X"), answers(nil)},
			Succeeded,
			time.Second},
		"not a time-out as a task's": {`{"ErrorEquals":["States.TaskFailed"]}`, []reply{fails(Timeout)}, Failed, 0},
		"each its own": {`{"ErrorEquals":["X"],"MaxAttempts":1},{"ErrorEquals":["Y"],"MaxAttempts":1,` +
			`"IntervalSeconds":9}`,
			[]reply{fails("X"), fails("Y"), fails("X")}, Failed, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			last, _, took := execute(t, failing(`"Retry":[`+c.retry+`],`), `{}`, c.calls...)
			assert.Equal(t, c.want, last.Type)
			assert.Equal(t, c.took, took)
		})
	}
	last, _, took := execute(t, failing(`"Retry":[{"ErrorEquals":["X"],"IntervalSeconds":1000,`+
		`"JitterStrategy":"FULL"}],`),
		`{}`, fails("X"), answers(nil))
	assert.Equal(t, Succeeded, last.Type)
	assert.Less(t, took, 1000*time.Second)
	assert.Positive(t, took)
}

func TestCatch(t *testing.T) {
	catch := `"Catch":[{"ErrorEquals":["X","Y"],"ResultPath":"$.e","Next":"B"},{"ErrorEquals":["States.ALL"],` +
		`"Next":"B"}],`
	last, _, _ := execute(t, failing(catch), `{"a":1}`, fails("Y"))
	assert.JSONEq(t, `{"a":1,"e":{"Error":"Y","Cause":"why"}}`, last.Data)
	last, _, _ = execute(t, failing(catch), `{"a":1}`, fails("Z"))
	assert.JSONEq(t, `{"Error":"Z","Cause":"why"}`, last.Data)
	last, _, _ = execute(t, failing(catch), `{"a":1}`, func(context.Context, Task) (any, error) {
		return nil, errors.New("plain")
	})
	assert.JSONEq(t, `{"Error":"States.TaskFailed","Cause":"plain"}`, last.Data)
	last, _, _ = execute(t, failing(catch), `[]`, fails("X"))
	assert.Equal(t, ResultPathFailure, last.Error, "there is no place in a list")
	last, _, _ = execute(t, failing(`"ResultSelector":{"x.$":"$.none"},`+catch), `{}`, answers(map[string]any{}))
	assert.Contains(t, last.Data, ParameterPathFailure)
	last, _, _ = execute(t, failing(`"OutputPath":"$.none",`+catch), `{}`, answers("x"))
	assert.Equal(t, Runtime, last.Error, "nothing catches it")

	retried := `"Retry":[{"ErrorEquals":["X"],"MaxAttempts":1}],` + catch
	last, _, _ = execute(t, failing(retried), `{}`, fails("X"), fails("X"))
	assert.JSONEq(t, `{"e":{"Error":"X","Cause":"why"}}`, last.Data)
}

func TestDataAreLimited(t *testing.T) {
	large := strings.Repeat("x", MaxData)
	all := `"Catch":[{"ErrorEquals":["States.ALL"],"Next":"B"}],`
	last, _, _ := execute(t, failing(all), `{}`, answers(large))
	assert.Equal(t, Failed, last.Type)
	assert.Equal(t, DataLimitExceeded, last.Error, "States.ALL is not for it")
	named := `"Catch":[{"ErrorEquals":["States.DataLimitExceeded"],"Next":"B"}],`
	last, _, _ = execute(t, failing(named), `{}`, answers(large))
	assert.Equal(t, Succeeded, last.Type)
	last, _, _ = execute(t, failing(named), `{}`, answers(large[:MaxData-2]))
	assert.Equal(t, Succeeded, last.Type)
	assert.Len(t, last.Data, MaxData, "it is the limit itself, with its quotes")
}

// hangs is a call that ends with its context.
func hangs(ctx context.Context, _ Task) (any, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestTimeouts(t *testing.T) {
	catch := `"Catch":[{"ErrorEquals":["States.Timeout"],"Next":"B"}],`
	last, history, took := execute(t, failing(`"TimeoutSeconds":30,`+catch), `{}`, hangs)
	assert.Equal(t, Succeeded, last.Type)
	assert.Contains(t, last.Data, "took longer than 30 seconds")
	assert.Equal(t, 30*time.Second, took)
	assert.Equal(t, "TaskTimedOut", history[4].Type)

	beats := func(times int) reply {
		return func(ctx context.Context, task Task) (any, error) {
			for range times {
				sleep(ctx, 4)
				task.Beat()
			}
			return hangs(ctx, task)
		}
	}
	last, _, took = execute(t, failing(`"TimeoutSeconds":30,"HeartbeatSeconds":5,`), `{}`, beats(3))
	assert.Equal(t, HeartbeatTimeout, last.Error)
	assert.Equal(t, 17*time.Second, took)
	last, _, took = execute(t, failing(`"TimeoutSeconds":30,"HeartbeatSeconds":5,`), `{}`, beats(20))
	assert.Equal(t, Timeout, last.Error)
	assert.Equal(t, 30*time.Second, took)

	whole := `{"StartAt":"A","TimeoutSeconds":7,"States":{"A":{"Type":"Task",` +
		`"Resource":"arn:aws:states:::shop:count",` +
		`"Catch":[{"ErrorEquals":["States.ALL"],"Next":"B"}],"End":true},"B":{"Type":"Succeed"}}}`
	last, _, took = execute(t, whole, `{}`, hangs)
	assert.Equal(t, TimedOut, last.Type)
	assert.Equal(t, 7*time.Second, took)
}

func TestAnExecutionIsAborted(t *testing.T) {
	for _, definition := range []string{
		failing(`"Retry":[{"ErrorEquals":["States.ALL"]}],"Catch":[{"ErrorEquals":["States.ALL"],"Next":"B"}],`),
		one(`{"Type":"Wait","Seconds":1000,"Next":"B"}`),
		failing(`"Retry":[{"ErrorEquals":["X"],"IntervalSeconds":1000}],`),
	} {
		machine := parsed(t, definition)
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancelCause(t.Context())
			called := false
			time.AfterFunc(time.Minute, func() { stop(&Stopped{"Enough", "of this"}) })
			last := machine.Run(ctx, Execution{Input: `{}`, Told: func(Event) {},
				Invoke: func(ctx context.Context, task Task) (any, error) {
					if strings.Contains(definition, `"X"`) && !called {
						called = true
						return nil, &Failure{"X", ""}
					}
					return hangs(ctx, task)
				}})
			assert.Equal(t, Event{Type: Aborted, Error: "Enough", Cause: "of this"}, last)
		})
	}
}

func TestParse_namesAllThatItDoesNotHonour(t *testing.T) {
	task := func(more string) string {
		return one(`{"Type":"Task","Resource":"arn:aws:states:::shop:sell","Next":"B",` + more + `}`)
	}
	pass := func(more string) string { return one(`{"Type":"Pass","Next":"B",` + more + `}`) }
	choice := func(rule string) string {
		return one(`{"Type":"Choice","Choices":[` + rule + `],"Default":"B"}`)
	}
	for name, c := range map[string]struct{ definition, want string }{
		"no JSON":   {`{`, "no JSON"},
		"no object": {`[]`, "definition: got [], want an object"},
		"JSONata": {`{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Succeed"}}}`,
			"want JSONPath"},
		"JSONata in a state": {alone(`{"Type":"Pass","QueryLanguage":"JSONata","End":true}`), "want JSONPath"},
		"another version":    {`{"Version":"2.0","StartAt":"A","States":{"A":{"Type":"Succeed"}}}`, "want 1.0"},
		"a field of its own": {`{"Colour":1,"StartAt":"A","States":{"A":{"Type":"Succeed"}}}`,
			"definition.Colour: the interpreter"},
		"no start":      {`{"States":{"A":{"Type":"Succeed"}}}`, "definition.StartAt: is missing"},
		"a wrong start": {`{"StartAt":"X","States":{"A":{"Type":"Succeed"}}}`, `leads to "X"`},
		"a state for nothing": {`{"StartAt":"A","States":{"A":{"Type":"Succeed"},"Z":{"Type":"Succeed"}}}`,
			"state Z: nothing leads"},
		"Parallel": {alone(`{"Type":"Parallel","Branches":[],"End":true}`),
			`state A.Type: got "Parallel", want Task`},
		"Map":            {alone(`{"Type":"Map","End":true}`), `got "Map"`},
		"no way on":      {alone(`{"Type":"Pass"}`), "wants one of Next and End"},
		"two ways on":    {one(`{"Type":"Pass","Next":"B","End":true}`), "wants one of Next and End"},
		"a wrong way on": {alone(`{"Type":"Pass","Next":"X"}`), `state A: leads to "X"`},
		"Assign": {pass(`"Assign":{}`), "state A.Assign: the interpreter does not know this field of a " +
			"Pass"},
		"another's field":     {pass(`"TimeoutSeconds":1`), "TimeoutSeconds: the interpreter does not know"},
		"a filter":            {pass(`"InputPath":"$.a[?(@.b)]"`), "no reference path"},
		"an index":            {pass(`"InputPath":"$.a[0]"`), "no reference path"},
		"a star":              {pass(`"InputPath":"$.*"`), "no reference path"},
		"deep":                {pass(`"InputPath":"$..a"`), "no reference path"},
		"a path that is none": {pass(`"InputPath":1`), "want a reference path"},
		"an unknown context":  {pass(`"InputPath":"$$.Task.Token"`), "not among the context object's"},
		"context as a place":  {pass(`"ResultPath":"$$.Execution"`), "nothing is put into the context"},
		"an unknown function": {pass(`"Parameters":{"a.$":"States.UUID()"}`),
			"States.UUID is no path and none of the intrinsic"},
		"a function within": {pass(`"Parameters":{"a.$":"States.Format('{}', States.Hash($.a,'MD5'))"}`),
			"States.Hash is no path"},
		"a value, not a path":  {pass(`"Parameters":{"a.$":"text"}`), "want a path or an intrinsic"},
		"a number":             {pass(`"Parameters":{"a.$":1}`), "want a path or an intrinsic"},
		"both":                 {pass(`"Parameters":{"a.$":"$.a","a":1}`), "stands with .$ and without"},
		"too few values":       {pass(`"Parameters":{"a.$":"States.Format('{} {}', $.a)"}`), "1 values for 2 {}"},
		"too many values":      {pass(`"Parameters":{"a.$":"States.Format('', $.a)"}`), "1 values for 0 {}"},
		"a brace":              {pass(`"Parameters":{"a.$":"States.Format('{')"}`), "a brace of its own"},
		"a template from data": {pass(`"Parameters":{"a.$":"States.Format($.t, $.a)"}`), "begins with a text"},
		"an escape":            {pass(`"Parameters":{"a.$":"States.Format('\\n')"}`), "a backslash stands before"},
		"no end of text":       {pass(`"Parameters":{"a.$":"States.Format('a)"}`), "second apostrophe"},
		"more after it":        {pass(`"Parameters":{"a.$":"States.Format('a') b"}`), "follows what is complete"},
		"too few arguments":    {pass(`"Parameters":{"a.$":"States.JsonMerge($.a)"}`), "takes 3 arguments, not 1"},
		"too deep": {pass(`"Parameters":{"a.$":"` + strings.Repeat("States.StringToJson(", 11) + "$.a" +
			strings.Repeat(")", 11) + `"}`), "more than 10 calls"},
		"no resource": {alone(`{"Type":"Task","End":true}`), "state A.Resource: is missing"},
		"an unknown resource": {alone(`{"Type":"Task","Resource":"arn:aws:states:::ecs:runTask","End":true}`),
			"want arn:aws:states::: with one of shop:count, shop:sell"},
		"an activity": {alone(`{"Type":"Task","Resource":"arn:aws:states:us-east-1:1:activity:a",` +
			`"End":true}`), "with one of"},
		"an unknown parameter": {task(`"Parameters":{"Price":1}`), "state A.Parameters.Price: shop:sell takes Item," +
			" Count, Note"},
		"credentials":          {task(`"Credentials":{}`), "state A.Credentials"},
		"a time-out from data": {task(`"TimeoutSecondsPath":"$.a"`), "TimeoutSecondsPath: the interpreter"},
		"half a second":        {task(`"TimeoutSeconds":0.5`), "want a number from 1"},
		"one and a half":       {task(`"TimeoutSeconds":1.5`), "want a whole number"},
		"a heart that is slow": {task(`"TimeoutSeconds":5,"HeartbeatSeconds":5`), "want less than TimeoutSeconds"},
		"a Retry for nothing":  {task(`"Retry":[{"ErrorEquals":[]}]`), "a list that is not empty"},
		"a Retry that shrinks": {task(`"Retry":[{"ErrorEquals":["X"],"BackoffRate":0.5}]`), "BackoffRate"},
		"another jitter":       {task(`"Retry":[{"ErrorEquals":["X"],"JitterStrategy":"HALF"}]`), "FULL or NONE"},
		"a Retry's field":      {task(`"Retry":[{"ErrorEquals":["X"],"Delay":1}]`), "this field of a Retry"},
		"all before others": {task(`"Catch":[{"ErrorEquals":["States.ALL"],"Next":"B"},{"ErrorEquals":["X"],` +
			`"Next":"B"}]`), "in the last one"},
		"all with others": {task(`"Catch":[{"ErrorEquals":["X","States.ALL"],"Next":"B"}]`),
			"States.ALL by itself"},
		"what nothing catches": {task(`"Catch":[{"ErrorEquals":["States.Runtime"],"Next":"B"}]`),
			"nothing catches it"},
		"a Catch to nowhere": {task(`"Catch":[{"ErrorEquals":["X"],"Next":"Z"}]`), `leads to "Z"`},
		"a Catch's Output": {task(`"Catch":[{"ErrorEquals":["X"],"Next":"B","Output":1}]`),
			"this field of a Catch"},
		"no choices": {alone(`{"Type":"Choice","Choices":[]}`), "a list that is not empty"},
		"another comparison": {choice(`{"Variable":"$.a","NumericEquals":1,"Next":"B"}`),
			"the interpreter knows no other comparison"},
		"a choice without way":   {choice(`{"Variable":"$.a","IsPresent":true}`), "Choices[0].Next: is missing"},
		"a choice about nothing": {choice(`{"IsPresent":true,"Next":"B"}`), "Variable: is missing"},
		"one within": {choice(`{"Not":{"Variable":"$.a","IsNull":true},"Next":"B"}`),
			"Choices[0].Not: wants And"},
		"a wait for nothing": {one(`{"Type":"Wait","Next":"B"}`), "one of Seconds and SecondsPath"},
		"a wait for a day": {one(`{"Type":"Wait","Timestamp":"2026-01-01T00:00:00Z","Next":"B"}`),
			"Timestamp: the interpreter"},
		"two causes": {alone(`{"Type":"Fail","Cause":"c","CausePath":"$.c"}`),
			"one of Cause and CausePath"},
		"a computed cause": {alone(`{"Type":"Fail","CausePath":"States.Format('a')"}`), "no reference path"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(c.definition, knownResources)
			require.Error(t, err)
			assert.Contains(t, err.Error(), c.want)
		})
	}
	_, err := Parse(`{"StartAt":"A","States":{"A":{"Type":"Map"},"B":{"Type":"Pass","Assign":{},"End":true}}}`,
		knownResources)
	var problems Problems
	require.ErrorAs(t, err, &problems)
	assert.Len(t, problems, 3, "all at once: %v", err)
}

func TestAnInputThatIsNoJSON(t *testing.T) {
	last, _, _ := execute(t, alone(`{"Type":"Succeed"}`), `{`)
	assert.Equal(t, Runtime, last.Error)
}

// Property: what is put at a path is found there, and everything beside it is as it was.
func FuzzPaths(f *testing.F) {
	f.Add("$.a.b", `{"a":{"c":1},"d":2}`)
	f.Add("$", `[1,2]`)
	f.Add("$.a", `"text"`)
	f.Add("$.a..b", `{}`)
	f.Add("$$.Execution.Name", `{}`)
	f.Fuzz(func(t *testing.T, text, data string) {
		p, err := parsePath(text)
		value, wrong := decode([]byte(data))
		if err != nil || wrong != nil || p.context {
			return
		}
		before := encode(value)
		changed, ok := p.put(value, "put")
		if !ok {
			_, found := p.of(value, nil)
			assert.False(t, found && len(p.fields) > 0, "%s is there in %s, and nothing can be put there", text, before)
			return
		}
		assert.Equal(t, before, encode(value), "the data stay")
		found, ok := p.of(changed, nil)
		assert.True(t, ok)
		assert.Equal(t, "put", found)
		if old, there := p.of(value, nil); there {
			again, _ := p.put(changed, old)
			assert.JSONEq(t, before, encode(again))
		}
	})
}

// Property: what is parsed runs without a panic, and Format makes of text what stood in it.
func FuzzIntrinsics(f *testing.F) {
	for _, expression := range []string{"States.Format('{}', $.a)", "States.StringToJson('1')", "$.a.b",
		"States.JsonMerge($.a, $.a, false)", "States.ArrayGetItem($.l, 0)", "States.Format('\\{\\}')", "States.Format(",
		"'",
		"States.Format('{}', States.StringToJson($.a))", "States.Format('a', )", "States.Format('\\"} {
		f.Add(expression, "it's {} \\ text")
	}
	data, err := decode([]byte(`{"a":{"b":"1"},"l":[1]}`))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, expression, text string) {
		if parsed, err := parseExpression(expression); err == nil {
			value, failure := parsed.value(data, &contextObject{execution: &Execution{}})
			if failure == nil {
				encode(value)
			} else {
				assert.Contains(t, []string{ParameterPathFailure, IntrinsicFailure}, failure.Name)
			}
		}
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`, `{`, `\{`, `}`, `\}`).Replace(text)
		parsed, err := parseExpression("States.Format('" + quoted + "{}', 'x')")
		require.NoError(t, err)
		value, failure := parsed.value(data, nil)
		require.Nil(t, failure)
		assert.Equal(t, text+"x", value)
	})
}
