// SPDX-License-Identifier: Apache-2.0

package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/comity-network/comity/internal/strictjson"
)

func reason(err error) strictjson.Reason {
	var e *strictjson.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Reason
}

func TestCheck(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tc := range []struct {
		name, in string
		want     strictjson.Reason // empty: accepted
	}{
		{"object", `{"a":1,"b":[true,false,null,"x"],"c":{"a":2}}`, ""},
		{"white space", " \t\r\n{ \"a\" : [ ] , \"b\" : { } } \n", ""},
		{"scalar", `"x"`, ""},
		{"empty name", `{"":0}`, ""},
		{"names that differ in case", `{"a":1,"A":2}`, ""},
		{"same name in two objects", `[{"a":1},{"a":2},{"b":{"a":3}}]`, ""},
		{"floats", `[0.5,-1.25e-3,1E+2,0e0]`, ""},
		{"largest whole numbers", `[9007199254740991,-9007199254740991]`, ""},
		{"surrogate pair", `"\ud83d\udda8"`, ""},
		{"all escapes", `"\"\\\/\b\f\n\r\t\u00e9"`, ""},
		{"deepest", nested(strictjson.MaxDepth), ""},
		{"replacement character", "\"\ufffd\"", ""},

		{"nothing", ``, strictjson.Syntax},
		{"white space only", ` `, strictjson.Syntax},
		{"byte order mark", "\ufeff{}", strictjson.Syntax},
		{"open object", `{"a":1`, strictjson.Syntax},
		{"open array", `[1`, strictjson.Syntax},
		{"open string", `"a`, strictjson.Syntax},
		{"open escape", `"\`, strictjson.Syntax},
		{"open unicode escape", `"\u00e`, strictjson.Syntax},
		{"unknown escape", `"\x41"`, strictjson.Syntax},
		{"not hexadecimal", `"\u00g0"`, strictjson.Syntax},
		{"raw tab", "\"\t\"", strictjson.Syntax},
		{"comma at the end", `[1,]`, strictjson.Syntax},
		{"comma at the end of an object", `{"a":1,}`, strictjson.Syntax},
		{"no comma", `[1 2]`, strictjson.Syntax},
		{"no colon", `{"a" 1}`, strictjson.Syntax},
		{"no value", `{"a":}`, strictjson.Syntax},
		{"bare name", `{a:1}`, strictjson.Syntax},
		{"single quotes", `{'a':1}`, strictjson.Syntax},
		{"wrong bracket", `[1}`, strictjson.Syntax},
		{"leading zero", `01`, strictjson.Trailing},
		{"plus", `+1`, strictjson.Syntax},
		{"dot", `.5`, strictjson.Syntax},
		{"no digit after the dot", `1.`, strictjson.Syntax},
		{"no digit in the exponent", `1e`, strictjson.Syntax},
		{"minus alone", `-`, strictjson.Syntax},
		{"NaN", `NaN`, strictjson.Syntax},
		{"upper case word", `True`, strictjson.Syntax},
		{"word with more", `nullx`, strictjson.Trailing},
		{"two values", `{}{}`, strictjson.Trailing},
		{"NUL at the end", "{}\x00", strictjson.NUL},
		{"duplicate", `{"a":1,"a":1}`, strictjson.Duplicate},
		{"duplicate with an escape", `{"a":1,"\u0061":1}`, strictjson.Duplicate},
		{"duplicate with a surrogate pair", "{\"\U0001F5A8\":1,\"\\ud83d\\udda8\":1}", strictjson.Duplicate},
		{"duplicate with a short escape", `{"\n":1,"\u000a":1}`, strictjson.Duplicate},
		{"duplicate slash", `{"/":1,"\/":1}`, strictjson.Duplicate},
		{"duplicate empty name", `{"":1,"":1}`, strictjson.Duplicate},
		{"duplicate far apart", `{"a":{"x":[{"y":1}]},"b":0,"c":0,"d":0,"a":1}`, strictjson.Duplicate},
		{"duplicate deep inside", `[[{"x":{"a":1,"a":2}}]]`, strictjson.Duplicate},
		{"duplicate outside after inner objects", `{"a":{"b":1},"c":{"b":1},"a":{}}`, strictjson.Duplicate},
		{"too deep", nested(strictjson.MaxDepth + 1), strictjson.Depth},
		{"ten thousand levels", nested(10_000), strictjson.Depth},
		{"objects too deep", strings.Repeat(`{"a":`, 17) + "1" + strings.Repeat("}", 17), strictjson.Depth},
		{"not UTF-8", "\"\xff\"", strictjson.UTF8},
		{"overlong", "\"\xc0\xaf\"", strictjson.UTF8},
		{"encoded surrogate", "\"\xed\xa0\xbd\"", strictjson.UTF8},
		{"NUL", "\"\x00\"", strictjson.NUL},
		{"escaped NUL", `"\u0000"`, strictjson.NUL},
		{"high surrogate", `"\ud83d"`, strictjson.Surrogate},
		{"high surrogate and a letter", `"\ud83dx"`, strictjson.Surrogate},
		{"low surrogate", `"\udda8"`, strictjson.Surrogate},
		{"two high surrogates", `"\ud83d\ud83d"`, strictjson.Surrogate},
		{"surrogate in a name", `{"\ud83d":1}`, strictjson.Surrogate},
		{"2^53", `9007199254740992`, strictjson.Number},
		{"-2^53", `-9007199254740992`, strictjson.Number},
		{"2^64", `18446744073709551616`, strictjson.Number},
		{"minus zero", `-0`, strictjson.Number},
		{"infinite", `1e999`, strictjson.Number},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := strictjson.Check([]byte(tc.in))
			if (err == nil) != (tc.want == "") || reason(err) != tc.want {
				t.Errorf("%.60q: %v, expected %q", tc.in, err, tc.want)
			}
		})
	}
}

func TestUnmarshal(t *testing.T) {
	var v struct {
		Name  string `json:"name"`
		Count int64  `json:"count"`
	}
	if err := strictjson.Unmarshal([]byte(`{"Name":"wrong","name":"right","more":[1],"count":7}`), &v); err != nil {
		t.Fatal(err)
	}
	if v.Name != "right" || v.Count != 7 {
		t.Errorf("decoded %+v", v)
	}
	if err := strictjson.Unmarshal([]byte(`{"count":7.0}`), &v); err == nil {
		t.Error("a fraction was decoded into a whole number")
	}
	if err := strictjson.Unmarshal([]byte(`{"more":{"a":1,"a":2}}`), &v); reason(err) != strictjson.Duplicate {
		t.Errorf("a duplicate in a member that is skipped: %v", err)
	}
}

// three is decoded by Fields as by Unmarshal.
type three struct {
	A string `json:"a"`
	B string `json:"b"`
	N int64  `json:"n"`
}

func (t *three) field(name string) any {
	switch name {
	case "a":
		return &t.A
	case "b":
		return &t.B
	case "n":
		return &t.N
	}
	return nil
}

func TestFields(t *testing.T) {
	var got three
	err := strictjson.Fields([]byte(` {"n":-12,"x":[{"a":1}],"a":"\u00e4\n\"é", "b":null,"\u0062c":"no"} `), got.field)
	if want := (three{A: "ä\n\"é", N: -12}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	got = three{}
	if err := strictjson.Fields([]byte(`{"\u0061":"x","b":"","n":0,"A":"y"}`), got.field); err != nil || got != (three{A: "x"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, data := range []string{
		`{"a":1}`, `{"a":true}`, `{"a":{}}`, `{"a":["x"]}`, `{"n":"1"}`, `{"n":1.0}`, `{"n":1e3}`, `{"n":false}`, `{"n":{}}`, `{"n":9007199254740993}`,
		`[]`, `"a"`, `null`, ``, `{"a":"x"} {}`, `{"a":"x","\u0061":"x"}`,
	} {
		if err := strictjson.Fields([]byte(data), new(three).field); err == nil {
			t.Errorf("%s: accepted", data)
		}
	}
}

func FuzzFields(f *testing.F) {
	for _, data := range []string{
		`{"a":"x\u00e4","b":null,"n":12}`, `{"a":"","x":[1,{"a":2}],"n":-0}`, `{"n":1e1}`, `{"\u0061":"\ud83d\ude00"}`, `{"A":"x","a":"\/"}`,
	} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, want three
		err := strictjson.Fields(data, got.field)
		wantErr := strictjson.Unmarshal(data, &want)
		if string(bytes.TrimSpace(data)) == "null" { // to Unmarshal this is an object
			return
		}
		if (err == nil) != (wantErr == nil) || err == nil && got != want {
			t.Fatalf("%+v, %v; Unmarshal %+v, %v", got, err, want, wantErr)
		}
	})
}

func TestObject(t *testing.T) {
	const in = ` {"b": [1, 2] ,"\u0061":{"b":"x"}, "c":null}`
	members, err := strictjson.Object([]byte(in), strictjson.Limits{Values: 7, Members: 3})
	if err != nil {
		t.Fatal(err)
	}
	want := []strictjson.Member{
		{Name: "b", Value: []byte("[1, 2]")}, {Name: "a", Value: []byte(`{"b":"x"}`)}, {Name: "c", Value: []byte("null")},
	}
	if !reflect.DeepEqual(members, want) {
		t.Errorf("members are %q", members)
	}
	for _, tc := range []struct {
		name, in string
		limits   strictjson.Limits
		want     strictjson.Reason
	}{
		{"one value too many", in, strictjson.Limits{Values: 6, Members: 3}, strictjson.Values},
		{"one member too many", in, strictjson.Limits{Values: 7, Members: 2}, strictjson.Values},
		{"array", `[{}]`, strictjson.Limits{Values: 9, Members: 9}, strictjson.Syntax},
		{"null", `null`, strictjson.Limits{Values: 9, Members: 9}, strictjson.Syntax},
	} {
		if _, err := strictjson.Object([]byte(tc.in), tc.limits); reason(err) != tc.want {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// fault 45: what is checked costs no memory that its author chooses.
func TestFault45Allocations(t *testing.T) {
	million := []byte("[" + strings.Repeat("0,", 1_000_000) + "0]")
	for name, in := range map[string][]byte{
		"million elements": million,
		"deep":             []byte(strings.Repeat("[", 10_000)),
		"many escapes":     []byte(`"` + strings.Repeat(`\u0041`, 100_000) + `"`),
	} {
		if n := testing.AllocsPerRun(2, func() { _ = strictjson.Check(in) }); n > 4 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// Check accepts only what encoding/json accepts, and both read the same.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":[1,"x",null,true,-1.5e3]}`, `{"a":1,"\u0061":2}`, `"\ud83d\udda8"`, `[[[]]]`, "\"\xff\"", `-0`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if strictjson.Check(data) != nil {
			return
		}
		var ours, theirs any
		if err := strictjson.Unmarshal(data, &ours); err != nil {
			t.Fatalf("checked, not decoded: %v", err)
		}
		if err := json.Unmarshal(data, &theirs); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if !reflect.DeepEqual(ours, theirs) {
			t.Fatalf("read as %v and as %v", ours, theirs)
		}
		members, err := strictjson.Object(data, strictjson.Limits{Values: 1 << 20, Members: 1 << 20})
		tree, isObject := theirs.(map[string]any)
		if (err == nil) != isObject || len(members) != len(tree) {
			t.Fatalf("members %q of %s: %v", members, data, err)
		}
		for _, m := range members {
			if _, ok := tree[m.Name]; !ok || strictjson.Check(m.Value) != nil {
				t.Fatalf("member %q of %s", m.Name, data)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	in := []byte(`{"iss":"https://broker.example","redirect_uris":["https://printer.example/callback"],"jwks":{"keys":[{"kty":"OKP","x":"` + strings.Repeat("x", 600) + `"}]}}`)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if err := strictjson.Check(in); err != nil {
			b.Fatal(err)
		}
	}
}
