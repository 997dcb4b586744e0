package asl

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// most is how many seconds a state or an execution may take at most (language, "TimeoutSeconds").
const most = 99_999_999

// reader collects problems while it reads the definition.
type reader struct {
	integrations Integrations
	problems     Problems
}

func (r *reader) failf(at, format string, arguments ...any) {
	r.problems = append(r.problems, at+": "+fmt.Sprintf(format, arguments...))
}

// object is one of the definition's, of which every field has to be read.
type object struct {
	*reader
	at     string
	fields map[string]any
	seen   map[string]bool
}

func (r *reader) object(at string, value any) *object {
	fields, ok := value.(map[string]any)
	if !ok {
		r.failf(at, "got %s, want an object", shown(value))
	}
	return &object{reader: r, at: at, fields: fields, seen: map[string]bool{}}
}

func (o *object) has(name string) bool {
	_, ok := o.fields[name]
	return ok
}

func (o *object) value(name string) any {
	o.seen[name] = true
	return o.fields[name]
}

func (o *object) refuse(name, want string) {
	o.failf(o.at+"."+name, "got %s, want %s", shown(o.fields[name]), want)
}

// text is a string; empty where absent.
func (o *object) text(name string) string {
	value := o.value(name)
	text, ok := value.(string)
	if o.has(name) && !ok {
		o.refuse(name, "a string")
	}
	return text
}

// need is a string that is there.
func (o *object) need(name string) string {
	text := o.text(name)
	if text == "" {
		o.failf(o.at+"."+name, "is missing")
	}
	return text
}

func (o *object) boolean(name string) bool {
	value := o.value(name)
	truth, ok := value.(bool)
	if o.has(name) && !ok {
		o.refuse(name, "true or false")
	}
	return truth
}

// number from least to greatest; absent where there is none.
func (o *object) number(name string, absent, least, greatest float64) float64 {
	if !o.has(name) {
		o.seen[name] = true
		return absent
	}
	value, _ := o.value(name).(json.Number)
	number, err := value.Float64()
	if err != nil || number < least || number > greatest {
		o.refuse(name, fmt.Sprintf("a number from %g to %g", least, greatest))
		return absent
	}
	return number
}

// seconds are whole.
func (o *object) seconds(name string, absent, least int) int {
	number := o.number(name, float64(absent), float64(least), most)
	if number != float64(int(number)) {
		o.refuse(name, "a whole number")
	}
	return int(number)
}

// list is a list that is there and not empty.
func (o *object) list(name string) []any {
	list, ok := o.value(name).([]any)
	if !ok || len(list) == 0 {
		o.refuse(name, "a list that is not empty")
	}
	return list
}

func (o *object) texts(name string) []string {
	var all []string
	for _, value := range o.list(name) {
		text, ok := value.(string)
		if !ok || text == "" {
			o.refuse(name, "a list of strings")
		}
		all = append(all, text)
	}
	return all
}

// path is a reference path; that of $ where absent, nil for null where it may be null.
func (o *object) path(name string, nullable bool) *path {
	if !o.has(name) {
		o.seen[name] = true
		return &path{text: "$"}
	}
	value := o.value(name)
	if value == nil && nullable {
		return nil
	}
	text, ok := value.(string)
	if !ok {
		o.refuse(name, "a reference path")
		return &path{text: "$"}
	}
	parsed, err := parsePath(text)
	if err != nil {
		o.failf(o.at+"."+name, "%v", err)
		return &path{text: "$"}
	}
	o.checkContext(o.at+"."+name, parsed)
	return parsed
}

// own is a path into the state's data, where something is put.
func (o *object) own(name string) *path {
	found := o.path(name, true)
	if found != nil && found.context {
		o.refuse(name, "a path into the data: nothing is put into the context object")
	}
	return found
}

func (r *reader) checkContext(at string, p *path) {
	if p.context && !known(p) {
		r.failf(at, "%q is not among the context object's %s", p.text, strings.Join(contextPaths, ", "))
	}
}

// close refuses the fields that nobody has read.
func (o *object) close(what string) {
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		if !o.seen[name] {
			o.failf(o.at+"."+name, "the interpreter does not know this field of %s", what)
		}
	}
}

// Parse reads a definition that is complete. The error is Problems: everything in it that the
// interpreter would not honour.
func Parse(definition string, integrations Integrations) (*Machine, error) {
	value, err := decode([]byte(definition))
	if err != nil {
		return nil, Problems{fmt.Sprintf("the definition is no JSON: %v", err)}
	}
	r := &reader{integrations: integrations}
	top := r.object("definition", value)
	top.value("Comment")
	if language := top.text("QueryLanguage"); language != "" && language != "JSONPath" {
		top.refuse("QueryLanguage", "JSONPath: what JSONata accepts differs from place to place")
	}
	if version := top.text("Version"); version != "" && version != "1.0" {
		top.refuse("Version", "1.0")
	}
	machine := &Machine{startAt: top.need("StartAt"), states: map[string]*state{},
		timeout: top.seconds("TimeoutSeconds", 0, 1)}
	states := r.object("States", top.value("States"))
	for _, name := range slices.Sorted(maps.Keys(states.fields)) {
		machine.states[name] = r.state(name, states.fields[name])
	}
	top.close("a state machine")
	r.check(machine)
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return machine, nil
}

// check holds transitions to states that are there and can be reached.
func (r *reader) check(machine *Machine) {
	reached := map[string]bool{}
	var reach func(from, name string)
	reach = func(from, name string) {
		if machine.states[name] == nil {
			r.failf(from, "leads to %q, and there is no such state", name)
			return
		}
		if reached[name] {
			return
		}
		reached[name] = true
		for _, next := range machine.states[name].successors() {
			reach("state "+name, next)
		}
	}
	reach("definition.StartAt", machine.startAt)
	for _, name := range slices.Sorted(maps.Keys(machine.states)) {
		if !reached[name] {
			r.failf("state "+name, "nothing leads to it")
		}
	}
}

// successors are the states to which a state leads.
func (s *state) successors() []string {
	var all []string
	for _, rule := range s.choices {
		all = append(all, rule.next)
	}
	for _, caught := range s.catch {
		all = append(all, caught.next)
	}
	for _, next := range []string{s.next, s.otherwise} {
		if next != "" {
			all = append(all, next)
		}
	}
	return all
}

// maxName is how many characters a state's name has (language, "States").
const maxName = 80

func (r *reader) state(name string, value any) *state {
	o := r.object("state "+name, value)
	if len([]rune(name)) > maxName {
		o.failf(o.at, "a name of more than %d characters", maxName)
	}
	o.value("Comment")
	if language := o.text("QueryLanguage"); language != "" && language != "JSONPath" {
		o.refuse("QueryLanguage", "JSONPath")
	}
	s := &state{name: name, kind: o.need("Type"), input: &path{text: "$"}, output: &path{text: "$"},
		result: &path{text: "$"}}
	if s.kind != "Fail" {
		s.input, s.output = o.path("InputPath", true), o.path("OutputPath", true)
	}
	switch s.kind {
	case "Task":
		o.task(s)
	case "Pass":
		s.fixed, s.hasFixed = o.value("Result"), o.has("Result")
		o.parameters(s)
		s.result = o.own("ResultPath")
		o.transition(s)
	case "Choice":
		for i, entry := range o.list("Choices") {
			rule := r.object(fmt.Sprintf("%s.Choices[%d]", o.at, i), entry)
			s.choices = append(s.choices, choice{next: rule.need("Next"), rule: rule.condition()})
			rule.close("a choice")
		}
		s.otherwise = o.text("Default")
	case "Wait":
		o.wait(s)
		o.transition(s)
	case "Succeed":
	case "Fail":
		s.failure, s.failurePath = o.textOrPath("Error")
		s.cause, s.causePath = o.textOrPath("Cause")
	default:
		o.refuse("Type", "Task, Pass, Choice, Wait, Succeed or Fail: the interpreter knows no other")
		return s
	}
	o.close("a " + s.kind)
	return s
}

// transition is Next or End.
func (o *object) transition(s *state) {
	s.next = o.text("Next")
	if end := o.boolean("End"); end == (s.next != "") {
		o.failf(o.at, "wants one of Next and End")
	}
}

func (o *object) textOrPath(name string) (string, *path) {
	if !o.has(name + "Path") {
		return o.text(name), nil
	}
	if o.has(name) {
		o.failf(o.at, "wants one of %s and %sPath", name, name)
	}
	return o.text(name), o.path(name+"Path", false)
}

func (o *object) wait(s *state) {
	if o.has("SecondsPath") == o.has("Seconds") {
		o.failf(o.at, "wants one of Seconds and SecondsPath")
	}
	s.wait = o.seconds("Seconds", 0, 0)
	if o.has("SecondsPath") {
		s.waitPath = o.path("SecondsPath", false)
	}
}

func (o *object) parameters(s *state) {
	if s.hasParameters = o.has("Parameters"); s.hasParameters {
		s.parameters = o.template(o.at+".Parameters", o.value("Parameters"))
	}
}

// resourceSyntax is what a Task calls: the part after arn:<partition>:states:::.
var resourceSyntax = regexp.MustCompile(`^arn:[^:]+:states:::(.+)$`)

func (o *object) task(s *state) {
	resource := o.need("Resource")
	if found := resourceSyntax.FindStringSubmatch(resource); found != nil {
		s.resource = found[1]
	}
	taken, ok := o.integrations[s.resource]
	if !ok && resource != "" {
		o.refuse("Resource", "arn:aws:states::: with one of "+
			strings.Join(slices.Sorted(maps.Keys(o.integrations)), ", "))
	}
	o.parameters(s)
	if given, isObject := s.parameters.(template); ok && isObject {
		for _, name := range slices.Sorted(maps.Keys(given)) {
			if !slices.Contains(taken, name) {
				o.failf(o.at+".Parameters."+name, "%s takes %s", s.resource, strings.Join(taken, ", "))
			}
		}
	}
	if s.hasSelector = o.has("ResultSelector"); s.hasSelector {
		s.selector = o.template(o.at+".ResultSelector", o.value("ResultSelector"))
	}
	s.result = o.own("ResultPath")
	s.timeout, s.heartbeat = o.seconds("TimeoutSeconds", 0, 1), o.seconds("HeartbeatSeconds", 0, 1)
	if s.heartbeat > 0 && (s.timeout == 0 || s.heartbeat >= s.timeout) {
		o.refuse("HeartbeatSeconds", "less than TimeoutSeconds")
	}
	if o.has("Retry") {
		for i, entry := range o.list("Retry") {
			s.retry = append(s.retry, o.retrier(fmt.Sprintf("%s.Retry[%d]", o.at, i), entry, i, len(o.list("Retry"))))
		}
	}
	if o.has("Catch") {
		for i, entry := range o.list("Catch") {
			c := o.object(fmt.Sprintf("%s.Catch[%d]", o.at, i), entry)
			s.catch = append(s.catch, catcher{
				errors: c.names(i, len(o.list("Catch"))), result: c.own("ResultPath"), next: c.need("Next"),
			})
			c.value("Comment")
			c.close("a Catch")
		}
	}
	o.transition(s)
}

func (o *object) retrier(at string, entry any, index, count int) retrier {
	r := o.object(at, entry)
	r.value("Comment")
	read := retrier{
		errors:   r.names(index, count),
		interval: float64(r.seconds("IntervalSeconds", 1, 1)),
		attempts: r.seconds("MaxAttempts", 3, 0),
		rate:     r.number("BackoffRate", 2, 1, most),
		most:     float64(r.seconds("MaxDelaySeconds", 0, 1)),
	}
	switch jitter := r.text("JitterStrategy"); jitter {
	case "FULL":
		read.jitter = true
	case "", "NONE":
	default:
		r.refuse("JitterStrategy", "FULL or NONE")
	}
	r.close("a Retry")
	return read
}

// names are the errors that a Retry or Catch is for: States.ALL stands alone, in the last one.
func (o *object) names(index, count int) []string {
	names := o.texts("ErrorEquals")
	if slices.Contains(names, All) && (index != count-1 || len(names) > 1) {
		o.refuse("ErrorEquals", "States.ALL by itself, in the last one")
	}
	for _, name := range names {
		if name == Runtime {
			o.refuse("ErrorEquals", "no "+Runtime+": nothing catches it")
		}
	}
	return names
}

// condition of a Choice's rule, or of one within.
func (o *object) condition() condition {
	switch {
	case o.has("And"), o.has("Or"):
		name := "And"
		if o.has("Or") {
			name = "Or"
		}
		made := several{all: name == "And"}
		for i, entry := range o.list(name) {
			made.rules = append(made.rules, o.inner(fmt.Sprintf("%s.%s[%d]", o.at, name, i), entry))
		}
		return made
	case o.has("Not"):
		return negation{o.inner(o.at+".Not", o.value("Not"))}
	case o.has("IsPresent"):
		return present{o.variable(), o.boolean("IsPresent")}
	case o.has("StringEquals"):
		return equal{o.variable(), o.text("StringEquals")}
	}
	o.failf(o.at, "wants And, Or, Not, IsPresent or StringEquals: the interpreter knows no other comparison")
	return several{}
}

func (o *object) inner(at string, entry any) condition {
	inner := o.object(at, entry)
	read := inner.condition()
	inner.close("a comparison")
	return read
}

func (o *object) variable() *path {
	if !o.has("Variable") {
		o.failf(o.at+".Variable", "is missing")
	}
	return o.path("Variable", false)
}

// template is the object of a payload template, in which expressions stand in the place of the
// texts of fields whose names end in .$ (and lack that ending here).
type template map[string]any

// template reads what Parameters and ResultSelector have.
func (r *reader) template(at string, value any) any {
	switch value := value.(type) {
	case map[string]any:
		read := template{}
		for _, name := range slices.Sorted(maps.Keys(value)) {
			plain, computed := strings.CutSuffix(name, ".$")
			if _, doubled := value[plain]; computed && doubled {
				r.failf(at+"."+plain, "stands with .$ and without")
			}
			if !computed {
				read[plain] = r.template(at+"."+plain, value[plain])
				continue
			}
			text, isText := value[name].(string)
			parsed, err := parseExpression(text)
			if !isText || err != nil {
				r.failf(at+"."+name, "got %s, want a path or an intrinsic function: %v", shown(value[name]), err)
				continue
			}
			r.checkExpression(at+"."+name, parsed)
			read[plain] = parsed
		}
		return read
	case []any:
		read := make([]any, len(value))
		for i, entry := range value {
			read[i] = r.template(fmt.Sprintf("%s[%d]", at, i), entry)
		}
		return read
	}
	return value
}

func (r *reader) checkExpression(at string, parsed expression) {
	switch parsed := parsed.(type) {
	case *path:
		r.checkContext(at, parsed)
	case *call:
		for _, argument := range parsed.arguments {
			r.checkExpression(at, argument)
		}
	}
}
